#!lua flags=allow-oom
-- A logger worker takes flushes: their numbers go from the shard's lists into its own, in one step (log.md, "Logger").
-- KEYS[1] the shard's prefix; ARGV[1] the worker; ARGV[2] bytes and ARGV[3] records to take at most: at least one flush whatever its size;
-- ARGV[4] flushes at most
-- Answers the number of the last flush logged, then the numbers taken, oldest first; the queue before the refusals. Counts as a heartbeat:
-- nothing gets into a worker's list otherwise, so one that was taken for gone is known again before it has anything.

local prefix, worker = KEYS[1], ARGV[1]
local room_bytes, room_records = tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
redis.call('ZADD', prefix .. 'workers', time[1] * 1000 + math.floor(time[2] / 1000), worker)

local taken, most = { tonumber(redis.call('GET', prefix .. 'number') or '0') }, tonumber(ARGV[4]) + 1
for _, list in ipairs({ prefix .. 'queue', prefix .. 'refused' }) do
  while #taken < most do
    local number = redis.call('LINDEX', list, -1)
    if not number then break end
    local flush = prefix .. 'flush:' .. number
    local masked = redis.call('GETRANGE', flush, 9, 10) -- the header's last field: how many records have an identity
    local records = #masked == 2 and string.byte(masked, 1) * 256 + string.byte(masked, 2) or 0
    room_bytes = room_bytes - redis.call('STRLEN', flush)
    room_records = room_records - math.max(records, 1)
    if #taken > 1 and (room_bytes < 0 or room_records < 0) then return taken end
    redis.call('LMOVE', list, prefix .. 'taken:' .. worker, 'RIGHT', 'LEFT')
    taken[#taken + 1] = number
  end
end
return taken
