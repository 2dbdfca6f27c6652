-- standing(prefix, backbone, time, oldest_us): how one backbone of one shard stands; an open gate with an entry that is older than
-- `oldest_us` microseconds becomes held. Put in front of each script that needs it (scripts/__init__.py).
--
-- prefix   `sb:log:{n}:`, as in KEYS[1] of every script of the log
-- time     what TIME answered
--
-- Answers {gate, flushes pending, retries due, flushes stuck}.
local function standing(prefix, backbone, time, oldest_us)
  local pending = prefix .. 'pending:' .. backbone
  local gate = redis.call('HGET', prefix .. 'gates', backbone)
  local oldest = redis.call('ZRANGE', pending, 0, 0, 'WITHSCORES')
  if not gate then
    gate = 'open'
    if oldest[1] then
      -- By the flush's own time: a score is later than that where the clock has gone back. What is logged in the future was logged before
      -- it went back; nobody knows how long ago.
      local head = redis.call('GETRANGE', prefix .. 'flush:' .. oldest[1], 1, 8)
      local logged = tonumber(oldest[2])
      if #head == 8 then
        local seconds, microseconds = struct.unpack('>I4I4', head)
        logged = math.min(logged, seconds * 1000000 + microseconds)
      end
      local age = time[1] * 1000000 + time[2] - logged
      if age > oldest_us or age < 0 then
        gate = 'held ' .. redis.call('INCR', prefix .. 'turns')
        redis.call('HSET', prefix .. 'gates', backbone, gate)
      end
    end
  end
  local due = redis.call('ZCOUNT', prefix .. 'retry:' .. backbone, '-inf', time[1] * 1000 + math.floor(time[2] / 1000))
  return { gate, oldest[1] and redis.call('ZCARD', pending) or 0, due, redis.call('ZCARD', prefix .. 'stuck:' .. backbone) }
end
