#!lua flags=allow-oom
-- The oldest entries that one backbone of one shard waits for, with the flush or its index; where both are gone, as the feed has it.
-- KEYS[1] the shard's prefix; ARGV[1] the backbone; ARGV[2] records and ARGV[3] bytes to read at most: at least one entry whatever its size;
-- ARGV[4] the number of the last flush that counts
-- Answers {1 where nothing is left behind these, {number, microseconds, done or false, flush or false, index or false, of the feed or false}, ...}.

local prefix, backbone = KEYS[1], ARGV[1]
local room_records, room_bytes, last = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local members = redis.call('ZRANGE', prefix .. 'pending:' .. backbone, 0, room_records - 1, 'WITHSCORES')
local answer = { #members < room_records * 2 and 1 or 0 }
for place = 1, #members, 2 do
  local number = members[place]
  if tonumber(number) <= last then
    local key = prefix .. 'flush:' .. number
    local masked = redis.call('GETRANGE', key, 9, 10)
    local flush, index = false, false
    if #masked == 2 then
      room_records = room_records - math.max(string.byte(masked, 1) * 256 + string.byte(masked, 2), 1)
      room_bytes = room_bytes - redis.call('STRLEN', key)
    else
      index = redis.call('GET', prefix .. 'index:' .. number)
      room_records = room_records - (index and math.max(math.floor(#index / 18), 1) or 1)
    end
    if #answer > 1 and (room_records < 0 or room_bytes < 0) then
      answer[1] = 0
      return answer
    end
    if not index then flush = redis.call('GET', key) end
    local fed = not index and not flush and redis.call('XRANGE', prefix .. 'feed', number .. '-0', number .. '-0')[1]
    answer[#answer + 1] = { number, members[place + 1], redis.call('HGET', prefix .. 'done:' .. backbone, number), flush, index, fed and fed[2][2] or false }
  end
end
return answer
