-- What is remembered of a backbone's streams (marks.lua).
-- KEYS[1] the shard's prefix; ARGV[1] the backbone
-- Answers {marks, doubts}

local prefix, backbone = KEYS[1], ARGV[1]
return { redis.call('HGETALL', prefix .. 'marks:' .. backbone), redis.call('HGETALL', prefix .. 'doubts:' .. backbone) }
