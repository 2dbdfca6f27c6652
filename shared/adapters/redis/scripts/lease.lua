-- take_lease(prefix, backbone, worker, lasts, renew_below): the lease of one backbone of one shard, whose holder is the only relay there.
-- Put in front of each script that needs it (scripts/__init__.py).
--
-- prefix        `sb:log:{n}:`, as in KEYS[1] of every script of the log
-- lasts         ms that it lasts from now on, where it is taken, or renewed since less than `renew_below` ms of it are left
--
-- Answers the fencing number, which every other relay script compares, and the ms that are left; 0 and 0 where another worker has it.
-- Who takes it anew, maybe of another release, sees what the one before could not deliver: it is pending again, in its place.
local function take_lease(prefix, backbone, worker, lasts, renew_below)
  local key = prefix .. 'lease:' .. backbone
  local value = redis.call('GET', key)
  if value then
    local holder, fence = string.match(value, '^(%S+) (%d+)$')
    if holder ~= worker then return 0, 0 end
    local left = redis.call('PTTL', key)
    if left < renew_below then
      redis.call('PEXPIRE', key, lasts)
      left = lasts
    end
    return tonumber(fence), left
  end
  local fence = redis.call('INCR', prefix .. 'fence:' .. backbone)
  redis.call('SET', key, worker .. ' ' .. fence, 'PX', lasts)
  local pending, stuck = prefix .. 'pending:' .. backbone, prefix .. 'stuck:' .. backbone
  if redis.call('EXISTS', stuck) == 1 then
    redis.call('ZUNIONSTORE', pending, 2, pending, stuck, 'AGGREGATE', 'MAX')
    redis.call('DEL', stuck)
  end
  return fence, lasts
end
