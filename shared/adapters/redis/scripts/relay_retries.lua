#!lua flags=allow-oom
-- What one backbone of one shard refused and is to be tried again now, with the flushes that are still in the log.
-- KEYS[1] the shard's prefix; ARGV[1] the backbone; ARGV[2] how many and ARGV[3] bytes of flushes to read at most: at least one
-- Answers {{member, when (ms), flush or false}, ...}: a flush comes with the first member that names it.

local prefix, backbone = KEYS[1], ARGV[1]
local room = tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', prefix .. 'retry:' .. backbone, '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local answer, read = {}, {}
for place = 1, #due, 2 do
  local number = string.match(due[place], '^(%d+):')
  local flush = false
  if not read[number] then
    read[number] = true
    room = room - redis.call('STRLEN', prefix .. 'flush:' .. number)
    if room < 0 and #answer > 0 then return answer end
    flush = redis.call('GET', prefix .. 'flush:' .. number)
  end
  answer[#answer + 1] = { due[place], due[place + 1], flush }
end
return answer
