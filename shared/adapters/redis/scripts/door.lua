-- Functions of the door's scripts.

-- What a worker holds goes back to where it came from: taken first, taken first again.
local function put_back(prefix, submit, worker)
  local moved = 0
  while redis.call('LMOVE', prefix .. 'taken:' .. worker, submit, 'LEFT', 'RIGHT') do moved = moved + 1 end
  while redis.call('LMOVE', prefix .. 'over:' .. worker, submit, 'LEFT', 'LEFT') do moved = moved + 1 end
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
