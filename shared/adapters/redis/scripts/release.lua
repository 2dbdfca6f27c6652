-- release(prefix, number): one holder of a flush lets go: the queue (the store has it) or a backbone (nothing of it is pending there).
-- The last one takes the flush with it and gives its bytes back. Put in front of each script that needs it (scripts/__init__.py).
--
-- prefix   `sb:log:{n}:`, as in KEYS[1] of every script of the log
-- number   the flush's number, decimal
-- returns  the holders left; false where the flush is not held any more
--
-- Call it only for what was really taken away (LREM or ZREM answered 1): it can't tell one holder from another.
local function release(prefix, number)
  local entry = redis.call('HGET', prefix .. 'held', number)
  if not entry then
    return false
  end
  local count, shares = string.match(entry, '^(%d+)(.*)$')
  local holders = tonumber(count) - 1
  if holders > 0 then
    redis.call('HSET', prefix .. 'held', number, holders .. shares)
    return holders
  end
  redis.call('UNLINK', prefix .. 'flush:' .. number, prefix .. 'index:' .. number)
  redis.call('HDEL', prefix .. 'held', number)
  local total = 0
  for org, bytes in string.gmatch(shares, ' ([^ =]+)=(%d+)') do
    total = total + tonumber(bytes)
    if redis.call('HINCRBY', prefix .. 'usage', 'org:' .. org, -tonumber(bytes)) <= 0 then
      redis.call('HDEL', prefix .. 'usage', 'org:' .. org)
    end
  end
  redis.call('HINCRBY', prefix .. 'usage', 'total', -total)
  return 0
end
