#!lua flags=allow-oom
-- The store has these flushes: they leave the worker's list, and the queue lets go of them. release.lua is put before this text.
-- KEYS[1] the shard's prefix; ARGV[1] the worker; ARGV[2] bytes from which on flushes are shrunk; ARGV[3]... the numbers
-- Answers the numbers of those that a backbone still waits for, where the log holds more bytes than that; else none. A number that
-- isn't in the list was taken over by another worker, who commits it. Counts as a heartbeat.

local prefix, worker = KEYS[1], ARGV[1]
local time = redis.call('TIME')
redis.call('ZADD', prefix .. 'workers', time[1] * 1000 + math.floor(time[2] / 1000), worker)

local kept = {}
for place = 3, #ARGV do
  local number = ARGV[place]
  if redis.call('LREM', prefix .. 'taken:' .. worker, -1, number) == 1 then
    local holders = release(prefix, number)
    if holders and holders > 0 then kept[#kept + 1] = number end
  end
end
if tonumber(redis.call('HGET', prefix .. 'usage', 'total') or '0') > tonumber(ARGV[2]) then return kept end
return {}
