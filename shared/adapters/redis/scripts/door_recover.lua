#!lua flags=allow-oom
-- Put back what workers of the door hold that are gone. door.lua is put before this text.
-- KEYS[1] the submit list; ARGV[1] what the door's own keys of the org start with; ARGV[2] the worker that asks, whose own stays;
-- ARGV[3] ms since its last heartbeat after which a worker is gone
-- Answers how many elements. Writes nothing where there is nothing to put back.

local moved = 0
local gone = redis.call('ZRANGEBYSCORE', ARGV[1] .. 'workers', '-inf', '(' .. milliseconds() - tonumber(ARGV[3]))
for _, worker in ipairs(gone) do
  if worker ~= ARGV[2] then moved = moved + put_back(ARGV[1], KEYS[1], worker, true) end
end
return moved
