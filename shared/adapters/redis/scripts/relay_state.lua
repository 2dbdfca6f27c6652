#!lua flags=allow-oom
-- How one backbone of one shard stands; an open gate with an entry that is too old becomes held.
-- KEYS[1] the shard's prefix; ARGV[1] the backbone; ARGV[2] the lease's value; ARGV[3] microseconds after which an entry is too old
-- Answers {gate, seconds, microseconds, flushes pending, retries due, flushes stuck}; 0 where the lease is another's.

local prefix, backbone = KEYS[1], ARGV[1]
if redis.call('GET', prefix .. 'lease:' .. backbone) ~= ARGV[2] then return 0 end
local time = redis.call('TIME')

-- By the flush's own time: a score is later than that where the clock has gone back. What is logged in the future was logged before it
-- went back; nobody knows how long ago.
local function too_old(number, score)
  local head = redis.call('GETRANGE', prefix .. 'flush:' .. number, 1, 8)
  local logged = score
  if #head == 8 then
    local seconds, microseconds = struct.unpack('>I4I4', head)
    logged = math.min(score, seconds * 1000000 + microseconds)
  end
  local age = time[1] * 1000000 + time[2] - logged
  return age > tonumber(ARGV[3]) or age < 0
end

local gate = redis.call('HGET', prefix .. 'gates', backbone)
if not gate then
  gate = 'open'
  local oldest = redis.call('ZRANGE', prefix .. 'pending:' .. backbone, 0, 0, 'WITHSCORES')
  if oldest[1] and too_old(oldest[1], tonumber(oldest[2])) then
    gate = 'held ' .. redis.call('INCR', prefix .. 'turns')
    redis.call('HSET', prefix .. 'gates', backbone, gate)
  end
end
local due = redis.call('ZCOUNT', prefix .. 'retry:' .. backbone, '-inf', time[1] * 1000 + math.floor(time[2] / 1000))
return { gate, tonumber(time[1]), tonumber(time[2]), redis.call('ZCARD', prefix .. 'pending:' .. backbone), due, redis.call('ZCARD', prefix .. 'stuck:' .. backbone) }
