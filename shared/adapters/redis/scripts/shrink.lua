#!lua flags=allow-oom
-- The log has no room for a flush that the store has and a backbone still waits for: only its index stays (docs/internals.md).
-- KEYS[1] the shard's prefix; ARGV[1] the number; ARGV[2] the index; ARGV[3] what it weighs: `<org>=<bytes> ...`
-- Answers 1, or 0 where nobody holds the flush any more.

local prefix, number = KEYS[1], ARGV[1]
local entry = redis.call('HGET', prefix .. 'held', number)
if not entry or redis.call('EXISTS', prefix .. 'flush:' .. number) == 0 then return 0 end

local function weigh(shares, sign)
  for org, bytes in string.gmatch(' ' .. shares, ' ([^ =]+)=(%d+)') do
    redis.call('HINCRBY', prefix .. 'usage', 'org:' .. org, sign * tonumber(bytes))
    redis.call('HINCRBY', prefix .. 'usage', 'total', sign * tonumber(bytes))
  end
end

local holders, before = string.match(entry, '^(%d+) ?(.*)$')
redis.call('SET', prefix .. 'index:' .. number, ARGV[2])
redis.call('UNLINK', prefix .. 'flush:' .. number)
redis.call('HSET', prefix .. 'held', number, holders .. ' ' .. ARGV[3])
weigh(before, -1)
weigh(ARGV[3], 1)
return 1
