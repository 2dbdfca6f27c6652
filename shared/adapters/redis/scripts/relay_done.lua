#!lua flags=allow-oom
-- What a relay did, in one step: no longer pending, off or onto the retry schedule, written into the log.
-- release.lua, marks.lua and feed.lua are put before this text.
-- KEYS[1] the shard's prefix; ARGV[1] the backbone; ARGV[2] the lease's value
-- ARGV[3] MessagePack: {whole = {number, ...}, part = {{number, {index, ...}}, ...}, stuck = {number, ...}, tried = {member, ...}, retry = {{member, ms from now}, ...}, marks = as marks.lua has them}
-- ARGV[4] the packed records (deliveries, dead letters), or ""; ARGV[5] their weight in bytes; ARGV[6] the shard's limit in bytes; ARGV[7] an epoch
-- Answers 1; 0 where the lease is another's: then nothing was done.

local prefix, backbone = KEYS[1], ARGV[1]
if redis.call('GET', prefix .. 'lease:' .. backbone) ~= ARGV[2] then return 0 end
local told = cmsgpack.unpack(ARGV[3])
local time = redis.call('TIME')
local seconds, microseconds = tonumber(time[1]), tonumber(time[2])

-- The records first: had anything behind them failed, a message would be delivered again, not forgotten.
if #ARGV[4] > 0 then
  local number = next_number(prefix, ARGV[7])
  local flush = struct.pack('>BI4I4I2', 1, seconds, microseconds, 0) .. ARGV[4]
  redis.call('SET', prefix .. 'flush:' .. number, flush)
  redis.call('HSET', prefix .. 'held', number, '1 !log=' .. ARGV[5])
  redis.call('HINCRBY', prefix .. 'usage', 'org:!log', ARGV[5])
  redis.call('HINCRBY', prefix .. 'usage', 'total', ARGV[5])
  redis.call('LPUSH', prefix .. 'queue', number)
  append_feed(prefix, number, flush, tonumber(ARGV[6]))
end
mark(prefix, told.marks)

for _, entry in ipairs(told.retry) do
  redis.call('ZADD', prefix .. 'retry:' .. backbone, seconds * 1000 + math.floor(microseconds / 1000) + entry[2], entry[1])
end
for _, member in ipairs(told.tried) do redis.call('ZREM', prefix .. 'retry:' .. backbone, member) end
for _, entry in ipairs(told.part) do
  if redis.call('ZSCORE', prefix .. 'pending:' .. backbone, entry[1]) then
    local before = redis.call('HGET', prefix .. 'done:' .. backbone, entry[1]) or ''
    local packed = {}
    for place, index in ipairs(entry[2]) do packed[place] = struct.pack('>I2', index) end
    redis.call('HSET', prefix .. 'done:' .. backbone, entry[1], before .. table.concat(packed))
  end
end
for _, number in ipairs(told.stuck) do -- out of the way, and still held
  local score = redis.call('ZSCORE', prefix .. 'pending:' .. backbone, number)
  if score then
    redis.call('ZADD', prefix .. 'stuck:' .. backbone, score, number)
    redis.call('ZREM', prefix .. 'pending:' .. backbone, number)
  end
end
for _, number in ipairs(told.whole) do
  if redis.call('ZREM', prefix .. 'pending:' .. backbone, number) == 1 then
    redis.call('HDEL', prefix .. 'done:' .. backbone, number)
    release(prefix, number)
  end
end
return 1
