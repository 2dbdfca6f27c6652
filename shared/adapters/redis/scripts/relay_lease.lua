#!lua flags=allow-oom
-- Take, renew or give up the lease of one backbone of one shard: its holder is the only relay there.
-- KEYS[1] the shard's prefix; ARGV[1] the backbone; ARGV[2] the worker; ARGV[3] ms it lasts, 0 to give it up
-- Answers the fencing number, which every other relay script compares; 0 where another worker has the lease.
-- Who takes it anew, maybe of another release, sees what the one before could not deliver: it is pending again, in its place.

local prefix, backbone, worker = KEYS[1], ARGV[1], ARGV[2]
local key = prefix .. 'lease:' .. backbone
local value = redis.call('GET', key)
if value then
  local holder, fence = string.match(value, '^(%S+) (%d+)$')
  if holder ~= worker then return 0 end
  if tonumber(ARGV[3]) == 0 then
    redis.call('DEL', key)
    return 0
  end
  redis.call('PEXPIRE', key, ARGV[3])
  return tonumber(fence)
end
if tonumber(ARGV[3]) == 0 then return 0 end
local fence = redis.call('INCR', prefix .. 'fence:' .. backbone)
redis.call('SET', key, worker .. ' ' .. fence, 'PX', ARGV[3])
local pending, stuck = prefix .. 'pending:' .. backbone, prefix .. 'stuck:' .. backbone
if redis.call('EXISTS', stuck) == 1 then
  redis.call('ZUNIONSTORE', pending, 2, pending, stuck, 'AGGREGATE', 'MAX')
  redis.call('DEL', stuck)
end
return fence
