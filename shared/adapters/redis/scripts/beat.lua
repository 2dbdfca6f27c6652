#!lua flags=allow-oom
-- A logger worker lives.
-- KEYS[1] the shard's prefix; ARGV[1] the worker

local time = redis.call('TIME')
return redis.call('ZADD', KEYS[1] .. 'workers', time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
