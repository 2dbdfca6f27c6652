#!lua flags=allow-oom
-- Turn the gate of one backbone of one shard, if it stands as the relay believes.
-- KEYS[1] the shard's prefix; ARGV[1] the backbone; ARGV[2] the lease's value; ARGV[3] how the gate stands; ARGV[4] `held`, `closing` or `open`
-- Answers {how it stands now, the number of the last flush}; 0 where the lease is another's. A door may have held it in between:
-- then it stays as it is.

local prefix, backbone = KEYS[1], ARGV[1]
if redis.call('GET', prefix .. 'lease:' .. backbone) ~= ARGV[2] then return 0 end
local gate = redis.call('HGET', prefix .. 'gates', backbone) or 'open'
if gate == ARGV[3] then
  if ARGV[4] == 'open' then
    gate = 'open'
    redis.call('HDEL', prefix .. 'gates', backbone)
  else
    gate = ARGV[4] .. ' ' .. redis.call('INCR', prefix .. 'turns')
    redis.call('HSET', prefix .. 'gates', backbone, gate)
  end
end
return { gate, tonumber(redis.call('GET', prefix .. 'number') or '0') }
