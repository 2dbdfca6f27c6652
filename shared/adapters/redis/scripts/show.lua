-- What another cluster logged, shown on the hub's feed: nothing goes into the queue. feed.lua is put before this text.
-- KEYS[1] the shard's prefix; ARGV[1] whose: <cluster>:<shard>; ARGV[2] the shard's limit in bytes; ARGV[3] an epoch, in case the shard is new
-- ARGV[4], ARGV[5] and so on in pairs: what tells a flush of that log from every other, and the flush as the feed has it
-- Answers how many had not been shown within 15 minutes, which is as long as the store knows a flush.
local prefix, shown = KEYS[1], KEYS[1] .. 'shown:' .. ARGV[1]
local REMEMBERED = 900
local seconds = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', shown, '-inf', '(' .. (seconds - REMEMBERED))
local new = 0
for place = 4, #ARGV, 2 do
  if not redis.call('ZSCORE', shown, ARGV[place]) then
    append_feed(prefix, next_number(prefix, ARGV[3]), ARGV[place + 1], tonumber(ARGV[2]))
    redis.call('ZADD', shown, seconds, ARGV[place])  -- last: had it failed before, the next try must not find it shown
    new = new + 1
  end
end
redis.call('EXPIRE', shown, REMEMBERED + 60)
return new
