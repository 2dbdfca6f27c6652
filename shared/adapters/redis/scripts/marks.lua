-- mark(prefix, given): what backbones took is remembered, a message an org's stream, so that a stream which lost what it took is noticed
-- (log.md, "Repair"). Put in front of each script that needs it (scripts/__init__.py).
--
-- prefix   `sb:log:{n}:`, as in KEYS[1] of every script of the log
-- given    {{backbone, org, created, lowest sequence, highest sequence, its message id in hex}, ...}, in the order they were taken
--
-- marks:<backbone> has the highest of each org: `created sequence id`. doubts:<backbone> has what that was when a lower one, or one of a
-- stream created at another time, came after it, until a relay has looked: doors overtake each other, but after a loss it looks so too.
local function mark(prefix, given)
  for _, entry in ipairs(given) do
    local backbone, org, created, lowest, highest, id = unpack(entry)
    local before = redis.call('HGET', prefix .. 'marks:' .. backbone, org)
    local higher = true
    if before then
      local was_created, was_highest = string.match(before, '^(%S+) (%d+)')
      if was_created ~= created or lowest <= tonumber(was_highest) then
        redis.call('HSETNX', prefix .. 'doubts:' .. backbone, org, before)
        higher = was_created ~= created or highest > tonumber(was_highest)
      end
    end
    if higher then redis.call('HSET', prefix .. 'marks:' .. backbone, org, created .. ' ' .. string.format('%d', highest) .. ' ' .. id) end
  end
end
