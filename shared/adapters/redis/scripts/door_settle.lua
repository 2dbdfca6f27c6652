#!lua flags=allow-oom
-- A worker lets go of the first elements of a batch, and tells what became of them. door.lua is put before this text.
-- KEYS[1] the submit list; ARGV[1] what the door's own keys of the org start with; ARGV[2] the worker; ARGV[3] the side; ARGV[4] the
-- number of the batch that the worker holds, ARGV[5] how many elements; ARGV[6] how many of them are done; ARGV[7] the list of rejections,
-- ARGV[8] how many and ARGV[9] how many bytes of them it keeps; ARGV[10] bytes of all the org's receipts, ARGV[11] how many lists of them,
-- ARGV[12] ms until one expires; ARGV[13] how many rejections follow; then for each list of receipts its key, how many follow, and they
-- Answers -1 where the worker doesn't hold this batch, and so many of it, and nothing was done; else how many receipts there was no room for.

local prefix, worker, side = ARGV[1], ARGV[2], ARGV[3]
local own, batch, held, done = prefix .. side .. ':' .. worker, prefix .. 'batch:' .. worker, tonumber(ARGV[5]), tonumber(ARGV[6])
if redis.call('LLEN', own) ~= held or (redis.call('HGET', batch, side) or '0') ~= ARGV[4] then return -1 end

-- Lua does not roll back, so that what can fail (a key of another type) is tried, and the elements go last.
local now, lists, dropped, place = milliseconds(), prefix .. 'receipts', 0, 14 + tonumber(ARGV[13])

local function used()
  redis.call('ZREMRANGEBYSCORE', lists, '-inf', now)
  local sum = 0
  for _, list in ipairs(redis.call('ZRANGE', lists, 0, -1)) do
    local size = bytes_of(list)
    if size == 0 then redis.call('ZREM', lists, list) end -- read to the end
    sum = sum + size
  end
  return sum
end

local function add(list, first, last)
  local pushed = redis.pcall('RPUSH', list, unpack(ARGV, first, last))
  return type(pushed) == 'number'
end

local most = tonumber(ARGV[10])
local room = place <= #ARGV and most - used() or 0
while place <= #ARGV do
  local list, last = ARGV[place], place + 1 + tonumber(ARGV[place + 1])
  local known = redis.call('ZSCORE', lists, list) or redis.call('ZCARD', lists) < tonumber(ARGV[11])
  local free = math.min(room, most / 4 - bytes_of(list)) -- a list that nobody reads leaves room for the others
  local first = place + 2
  while known and first <= last do
    local upto, size = first - 1, 0
    while upto < last and upto - first < 499 and size + #ARGV[upto + 1] <= free do
      upto = upto + 1
      size = size + #ARGV[upto]
    end
    if upto < first or not add(list, first, upto) then break end
    free, room, first = free - size, room - size, upto + 1
  end
  dropped = dropped + last - first + 1
  if first > place + 2 then
    redis.call('PEXPIRE', list, ARGV[12])
    redis.call('ZADD', lists, now + tonumber(ARGV[12]), list)
  end
  place = last + 1
end
if redis.call('EXISTS', lists) == 1 then redis.call('PEXPIRE', lists, ARGV[12]) end

local rejected = ARGV[7]
for each = 14, 13 + tonumber(ARGV[13]) do redis.pcall('RPUSH', rejected, ARGV[each]) end
if tonumber(ARGV[13]) > 0 and redis.call('TYPE', rejected)['ok'] == 'list' then
  redis.call('LTRIM', rejected, -tonumber(ARGV[8]), -1)
  while redis.call('LLEN', rejected) > 1 and redis.call('MEMORY', 'USAGE', rejected, 'SAMPLES', 0) > tonumber(ARGV[9]) do
    redis.call('LTRIM', rejected, math.ceil(redis.call('LLEN', rejected) / 10), -1)
  end
end

redis.call('LTRIM', own, 0, -(done + 1))
local died = prefix .. 'died:' .. side
if done > 0 and redis.call('HGET', batch, 'suspect:' .. side) == ARGV[4] then -- nobody died of these
  redis.call('HDEL', died, 'alone', 'which')
  if redis.call('HINCRBY', died, 'left', -done) <= 0 then redis.call('DEL', died) end
end
if held == done then redis.call('HDEL', batch, side, 'suspect:' .. side) end
if redis.call('EXISTS', prefix .. 'taken:' .. worker, prefix .. 'over:' .. worker) == 0 then
  redis.call('ZREM', prefix .. 'workers', worker)
elseif held > 0 then
  redis.call('ZADD', prefix .. 'workers', now, worker)
end
return dropped
