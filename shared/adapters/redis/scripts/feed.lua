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
