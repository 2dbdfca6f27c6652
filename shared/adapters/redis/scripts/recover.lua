#!lua flags=allow-oom
-- Take over from workers that are gone: what they had taken and not committed goes back to where it is taken next.
-- KEYS[1] the shard's prefix; ARGV[1] the worker that asks; ARGV[2] ms since its last heartbeat after which a worker is gone
-- Answers how many flushes. Counts as a heartbeat.

local prefix, worker = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', prefix .. 'workers', now, worker)

local moved = 0
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'workers', '-inf', '(' .. now - tonumber(ARGV[2]))) do
  while redis.call('LMOVE', prefix .. 'taken:' .. gone, prefix .. 'queue', 'LEFT', 'RIGHT') do moved = moved + 1 end
  redis.call('ZREM', prefix .. 'workers', gone)
end
return moved
