-- Functions of the door's scripts.

local function note_death(died, alone)
  redis.call('HINCRBY', died, 'times', 1)
  local which = alone and redis.sha1hex(alone) or ''
  if which == '' or redis.call('HGET', died, 'which') ~= which then redis.call('HDEL', died, 'alone') end
  redis.call('HSET', died, 'which', which)
  if alone then redis.call('HINCRBY', died, 'alone', 1) end
  redis.call('PEXPIRE', died, 3600000)
end

-- What a worker holds goes back to where it came from: taken first, taken first again. Where the worker is gone, it may have died of it:
-- `died:<side>` has how many `times` in a row that was, how many elements are `left` to be taken with care, and how often it was one element
-- `alone`, and which.
local function put_back(prefix, submit, worker, gone)
  local moved = 0
  for side, to in pairs({ taken = 'RIGHT', over = 'LEFT' }) do
    local own, died, held = prefix .. side .. ':' .. worker, prefix .. 'died:' .. side, 0
    local last = redis.call('LMOVE', own, submit, 'LEFT', to)
    while last do
      held = held + 1
      if gone and held == 1 then note_death(died, redis.call('EXISTS', own) == 0 and last) end
      last = redis.call('LMOVE', own, submit, 'LEFT', to)
    end
    if gone and held > 0 then
      redis.call('HSET', died, 'left', math.max(held, tonumber(redis.call('HGET', died, 'left')) or 0))
    end
    moved = moved + held
  end
  redis.call('DEL', prefix .. 'batch:' .. worker)
  redis.call('ZREM', prefix .. 'workers', worker)
  return moved
end

local function milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function bytes_of(key)
  return redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 20) or 0
end
