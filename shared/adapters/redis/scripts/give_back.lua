#!lua flags=allow-oom
-- A worker gives back what it took and doesn't have in hand: after a lost reply, and when it leaves.
-- KEYS[1] the shard's prefix; ARGV[1] the worker; ARGV[2] `leave` or `stay`; ARGV[3]... the numbers it has in hand
-- Answers how many went back. They are the next to be taken, the oldest first.

local prefix, worker = KEYS[1], ARGV[1]
local mine = prefix .. 'taken:' .. worker
local in_hand = {}
for place = 3, #ARGV do in_hand[ARGV[place]] = true end

local taken, given = redis.call('LRANGE', mine, 0, -1), 0
redis.call('DEL', mine)
for _, number in ipairs(taken) do -- newest first: the last one pushed is the first one taken
  if in_hand[number] then
    redis.call('RPUSH', mine, number)
  else
    redis.call('RPUSH', prefix .. 'queue', number)
    given = given + 1
  end
end
if ARGV[2] == 'leave' then redis.call('ZREM', prefix .. 'workers', worker) end
return given
