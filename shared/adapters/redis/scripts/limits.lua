-- What one process took from rate limits' buckets since its last report; answers what is left in each. A bucket's sums are those of
-- `shared_level` in shared/domain/rules/limits.py.
-- KEYS[1] the limits' prefix; ARGV[1] buckets kept at most; ARGV[2] MessagePack: four for each bucket, which is there once: its key, rate,
-- size, taken
-- Answers a level each, big-endian doubles; NaN for one that isn't kept because there is no room. Packed both ways: as arguments and
-- replies of their own they cost the door twice as much.
--
-- levels   hash: bucket -> its level, and when that was (two doubles, big-endian; seconds by Redis TIME)
-- full     zset: bucket -> when it will be full. Then it need not be kept: one that isn't there is full
--
-- Neither goes to the disk or to a replica: that would be an fsync every 50 ms for each process. A restart forgets what was taken.

redis.set_repl(redis.REPL_NONE)
local levels, full = KEYS[1] .. 'levels', KEYS[1] .. 'full'
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local LONGEST = 31536000 -- seconds that a bucket is kept: a tiny rate fills none before the end of time

local reports, keys = cmsgpack.unpack(ARGV[2]), {}
for i = 1, #reports, 4 do keys[#keys + 1] = reports[i] end

-- More go than can come, so that what is full doesn't pile up.
local gone = redis.call('ZRANGE', full, '-inf', string.format('%.17g', now), 'BYSCORE', 'LIMIT', 0, 2 * #keys + 100)
if #gone > 0 then
  redis.call('HDEL', levels, unpack(gone))
  redis.call('ZREM', full, unpack(gone))
end

local room = tonumber(ARGV[1]) - redis.call('HLEN', levels)
local known = redis.call('HMGET', levels, unpack(keys))
local answers, kept, due, emptied = {}, {}, {}, {}
for i, key in ipairs(keys) do
  local rate, size, taken = reports[4 * i - 2], reports[4 * i - 1], reports[4 * i]
  local level, at = size, now
  if known[i] then level, at = struct.unpack('>dd', known[i]) end
  level = math.min(size, math.min(size, level + math.max(0, now - at) * rate) - taken)
  answers[i] = struct.pack('>d', level)
  if level >= size then
    if known[i] then emptied[#emptied + 1] = key end
  elseif known[i] or room > 0 then
    if not known[i] then room = room - 1 end
    kept[#kept + 1], kept[#kept + 2] = key, struct.pack('>dd', level, now)
    due[#due + 1], due[#due + 2] = string.format('%.17g', now + math.min(LONGEST, (size - level) / rate)), key
  else
    answers[i] = struct.pack('>d', 0 / 0)
  end
end

if #emptied > 0 then
  redis.call('HDEL', levels, unpack(emptied))
  redis.call('ZREM', full, unpack(emptied))
end
if #kept > 0 then
  redis.call('HSET', levels, unpack(kept))
  redis.call('ZADD', full, unpack(due))
  local last = redis.call('ZRANGE', full, -1, -1, 'WITHSCORES')[2]
  local ms = string.format('%.0f', math.ceil(tonumber(last) * 1000))
  redis.call('PEXPIREAT', levels, ms)
  redis.call('PEXPIREAT', full, ms)
end
return table.concat(answers)
