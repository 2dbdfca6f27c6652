#!lua flags=allow-oom
-- Take or renew the leases of some backbones of one shard, and see how those stand that this worker has. lease.lua and standing.lua are put before this text.
-- KEYS[1] the shard's prefix; ARGV[1] the worker; ARGV[2] ms that a lease lasts; ARGV[3] ms of it below which it is renewed
-- ARGV[4] microseconds after which an entry is too old; ARGV[5...] the backbones
-- Answers {seconds, microseconds, then for each backbone {fencing number, ms left, gate, flushes pending, retries due, flushes stuck}, or 0
-- where another worker has its lease}.

local prefix, worker, lasts, renew_below, oldest_us = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local answer = { tonumber(time[1]), tonumber(time[2]) }
for place = 5, #ARGV do
  local backbone = ARGV[place]
  local fence, left = take_lease(prefix, backbone, worker, lasts, renew_below)
  if fence == 0 then
    answer[#answer + 1] = 0
  else
    local stands = standing(prefix, backbone, time, oldest_us)
    answer[#answer + 1] = { fence, left, stands[1], stands[2], stands[3], stands[4] }
  end
end
return answer
