-- What is remembered of a backbone's streams (marks.lua), and how far the loggers are.
-- KEYS[1] the shard's prefix; ARGV[1] the backbone
-- Answers {marks, doubts, the oldest flush that is in no store yet or '', the last flush logged}

local prefix, backbone = KEYS[1], ARGV[1]
local lists, oldest = { prefix .. 'queue' }, nil
for _, worker in ipairs(redis.call('ZRANGE', prefix .. 'workers', 0, -1)) do lists[#lists + 1] = prefix .. 'taken:' .. worker end
for _, list in ipairs(lists) do
  local number = tonumber(redis.call('LINDEX', list, -1) or nil)
  if number and (not oldest or number < oldest) then oldest = number end
end
return {
  redis.call('HGETALL', prefix .. 'marks:' .. backbone), redis.call('HGETALL', prefix .. 'doubts:' .. backbone),
  oldest and string.format('%d', oldest) or '', tonumber(redis.call('GET', prefix .. 'number') or '0'),
}
