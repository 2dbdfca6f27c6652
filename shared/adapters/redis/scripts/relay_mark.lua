#!lua flags=allow-oom
-- A relay has looked at streams: doubts go, and marks become what they hold now (marks.lua).
-- KEYS[1] the shard's prefix; ARGV[1] the backbone; ARGV[2] the lease's value
-- ARGV[3] MessagePack: {trust = {{org, doubt}, ...}, mark = {{org, mark or ""}, ...}}
-- Answers 1; 0 where the lease is another's: then nothing was done.

local prefix, backbone = KEYS[1], ARGV[1]
if redis.call('GET', prefix .. 'lease:' .. backbone) ~= ARGV[2] then return 0 end
local told = cmsgpack.unpack(ARGV[3])
for _, entry in ipairs(told.trust) do
  if redis.call('HGET', prefix .. 'doubts:' .. backbone, entry[1]) == entry[2] then redis.call('HDEL', prefix .. 'doubts:' .. backbone, entry[1]) end
end
for _, entry in ipairs(told.mark) do
  redis.call('HDEL', prefix .. 'doubts:' .. backbone, entry[1])
  if entry[2] == '' then
    redis.call('HDEL', prefix .. 'marks:' .. backbone, entry[1])
  else
    redis.call('HSET', prefix .. 'marks:' .. backbone, entry[1], entry[2])
  end
end
return 1
