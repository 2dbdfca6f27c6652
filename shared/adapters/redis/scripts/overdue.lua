#!lua flags=allow-oom
-- Received messages that have waited too long for their verdict, the oldest first. Reads only.
-- KEYS[1] the shard's prefix; ARGV[1] microseconds after which; ARGV[2] records and ARGV[3] bytes to read at most: one whatever its size;
-- ARGV[4] how many of the oldest to leave out
-- Answers the packed records. What waits since a time to come was logged before the clock went back: nobody knows how long ago.

local prefix, room = KEYS[1], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local waiting = prefix .. 'received'
local found = redis.call('ZRANGEBYSCORE', waiting, '-inf', string.format('%.0f', now - ARGV[1]), 'LIMIT', ARGV[4], ARGV[2])
if #found == 0 then found = redis.call('ZRANGEBYSCORE', waiting, '(' .. string.format('%.0f', now), '+inf', 'LIMIT', ARGV[4], ARGV[2]) end
local packed = {}
for _, record in ipairs(found) do
  local value = redis.call('HGET', prefix .. 'receiving', record)
  if value then
    room = room - #value
    if #packed > 0 and room < 0 then break end
    local _, length = struct.unpack('>I4I2', value)
    packed[#packed + 1] = string.sub(value, 7 + length)
  end
end
return packed
