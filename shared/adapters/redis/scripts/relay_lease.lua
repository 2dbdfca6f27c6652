#!lua flags=allow-oom
-- Take, renew or give up the lease of one backbone of one shard. lease.lua is put before this text.
-- KEYS[1] the shard's prefix; ARGV[1] the backbone; ARGV[2] the worker; ARGV[3] ms it lasts, 0 to give it up
-- Answers the fencing number; 0 where another worker has the lease, or it was given up.

local prefix, backbone, worker, lasts = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
if lasts > 0 then return (take_lease(prefix, backbone, worker, lasts, lasts + 1)) end
local value = redis.call('GET', prefix .. 'lease:' .. backbone)
if value and string.match(value, '^(%S+) %d+$') == worker then redis.call('DEL', prefix .. 'lease:' .. backbone) end
return 0
