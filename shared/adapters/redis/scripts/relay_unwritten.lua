-- How far the loggers are.
-- KEYS[1] the shard's prefix
-- Answers {the oldest flush that is in no store yet or '', the last flush logged}

local prefix = KEYS[1]
local lists, oldest = { prefix .. 'queue' }, nil
for _, worker in ipairs(redis.call('ZRANGE', prefix .. 'workers', 0, -1)) do lists[#lists + 1] = prefix .. 'taken:' .. worker end
for _, list in ipairs(lists) do
  local number = tonumber(redis.call('LINDEX', list, -1) or nil)
  if number and (not oldest or number < oldest) then oldest = number end
end
return { oldest and string.format('%d', oldest) or '', tonumber(redis.call('GET', prefix .. 'number') or '0') }
