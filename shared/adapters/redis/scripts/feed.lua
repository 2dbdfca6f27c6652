-- The feed: a stream whose entries are numbered like the flushes, trimmed by bytes. Put before each script that writes a flush.
local function append_feed(prefix, number, packed, limit)
  redis.call('XADD', prefix .. 'feed', number .. '-0', 'f', packed)
  local size = redis.call('HINCRBY', prefix .. 'usage', 'feed', #packed)
  local room = math.min(268435456, limit / 4)
  while size > room do
    local first = redis.call('XRANGE', prefix .. 'feed', '-', '+', 'COUNT', 1)[1]
    if not first then break end
    redis.call('XDEL', prefix .. 'feed', first[1])
    size = redis.call('HINCRBY', prefix .. 'usage', 'feed', -#first[2][2])
  end
end

-- The number of the next flush; the first one of a shard also names its epoch.
local function next_number(prefix, epoch)
  local number = redis.call('INCR', prefix .. 'number')
  redis.call('SETNX', prefix .. 'epoch', epoch)
  return number
end

-- The epoch that the log is in now. Whoever saw flush `number` in `epoch`, logged at `seconds` and `microseconds` (0: didn't look when), is
-- its witness: where that isn't there, an older copy of the log has taken its place, and numbers are given again. Then a new epoch begins
-- behind the last number that was given: it is named `<name>.<that number>`.
local function epoch_now(prefix, epoch, number, seconds, microseconds, name)
  local now, last = redis.call('GET', prefix .. 'epoch') or '', redis.call('GET', prefix .. 'number') or '0'
  if now == '' or now ~= epoch or number == 0 then return now end
  local known = number <= tonumber(last)
  if known and seconds > 0 then
    local head = redis.call('GETRANGE', prefix .. 'flush:' .. number, 0, 8)
    if #head < 9 then
      local shown = redis.call('XRANGE', prefix .. 'feed', number .. '-0', number .. '-0')[1]
      head = shown and string.sub(shown[2][2], 1, 9) or ''
    end
    known = #head < 9 or string.sub(head, 2) == struct.pack('>I4I4', seconds, microseconds)
  end
  if known then return now end
  now = name .. '.' .. last
  redis.call('SET', prefix .. 'epoch', now)
  return now
end
