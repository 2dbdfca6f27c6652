#!lua flags=allow-oom
-- A worker of the Redis door takes elements of an org's submit list into its processing list. door.lua is put before this text.
-- KEYS[1] the submit list; ARGV[1] what the door's own keys of the org start with; ARGV[2] the worker; ARGV[3] `taken`: the oldest, or
-- `over`: the newest, while the list holds more than ARGV[4] bytes; ARGV[5] bytes and ARGV[6] elements to take at most, one at least;
-- ARGV[7] bytes of the largest element that is answered whole; ARGV[8] how much of a larger one; ARGV[9] the number of the batch, if new
-- Answers a number: 0: nothing, or new; 1: the worker had them; 2: the key is no list, and its type follows. Then, where there is a batch,
-- its number, how many workers in a row are gone that held its first element alone, and the elements in the order taken, a larger one as
-- its size and its beginning. Counts as a heartbeat.

local submit, prefix, worker, side = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local own, room, most, largest = prefix .. side .. ':' .. worker, tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local batch, died = prefix .. 'batch:' .. worker, prefix .. 'died:' .. side
local suspect = redis.call('HMGET', died, 'times', 'alone', 'which')
local answer = { 0, 0, 0 }

local function add(element)
  if suspect[2] and #answer == 3 and redis.sha1hex(element) == suspect[3] then answer[3] = tonumber(suspect[2]) end
  if #element > largest then
    answer[#answer + 1] = { #element, string.sub(element, 1, tonumber(ARGV[8])) }
  else
    answer[#answer + 1] = element
  end
end

local held = redis.call('LRANGE', own, 0, -1) -- the one taken last comes first
if #held > 0 then
  answer[1], answer[2] = 1, tonumber(redis.call('HGET', batch, side)) or 0
  for place = #held, 1, -1 do add(held[place]) end
  redis.call('ZADD', prefix .. 'workers', milliseconds(), worker)
  return answer
end

local type = redis.call('TYPE', submit)['ok']
if type ~= 'list' then return type == 'none' and { 0 } or { 2, type } end
if side == 'over' and bytes_of(submit) <= tonumber(ARGV[4]) then return { 0 } end

answer[2] = tonumber(ARGV[9])
redis.call('HSET', batch, side, ARGV[9])
if suspect[1] then
  most = tonumber(suspect[1]) == 1 and math.min(most, 32) or 1
  redis.call('HSET', batch, 'suspect:' .. side, ARGV[9])
end
local from = side == 'over' and 'LEFT' or 'RIGHT'
for _ = 1, most do
  local element = redis.call('LMOVE', submit, own, from, 'LEFT')
  if not element then break end
  add(element)
  room = room - #element
  if room <= 0 then break end
end
redis.call('ZADD', prefix .. 'workers', milliseconds(), worker)
return answer
