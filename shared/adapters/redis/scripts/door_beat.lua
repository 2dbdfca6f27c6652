#!lua flags=allow-oom
-- A worker of the door lives, and holds something. door.lua is put before this text.
-- KEYS[1] the submit list; ARGV[1] what the door's own keys of the org start with; ARGV[2] the worker
-- Answers whether it holds something.

local holds = redis.call('EXISTS', ARGV[1] .. 'taken:' .. ARGV[2], ARGV[1] .. 'over:' .. ARGV[2])
if holds > 0 then redis.call('ZADD', ARGV[1] .. 'workers', milliseconds(), ARGV[2]) end
return holds
