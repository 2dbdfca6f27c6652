#!lua flags=allow-oom
-- How one backbone of one shard stands (standing.lua). standing.lua is put before this text.
-- KEYS[1] the shard's prefix; ARGV[1] the backbone; ARGV[2] the lease's value; ARGV[3] microseconds after which an entry is too old
-- Answers {gate, seconds, microseconds, flushes pending, retries due, flushes stuck}; 0 where the lease is another's.

local prefix, backbone = KEYS[1], ARGV[1]
if redis.call('GET', prefix .. 'lease:' .. backbone) ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
local stands = standing(prefix, backbone, time, tonumber(ARGV[3]))
return { stands[1], tonumber(time[1]), tonumber(time[2]), stands[2], stands[3], stands[4] }
