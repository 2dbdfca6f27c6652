-- Refusals: their own bounded list, so that a flood costs nobody else (log.md, "Refusals"). feed.lua is put before this text.
-- KEYS[1] the shard's prefix; ARGV[1] packed records; ARGV[2] room for refusals in bytes; ARGV[3] the shard's limit in bytes; ARGV[4] an epoch, in case the shard is new
-- Answers the flush number, or 0 where there was no room.
local prefix, size = KEYS[1], #ARGV[1]
local used = tonumber(redis.call('HGET', prefix .. 'usage', 'org:!refused')) or 0
if used + size > tonumber(ARGV[2]) then return 0 end
local time = redis.call('TIME')
local number = next_number(prefix, ARGV[4])
local flush = struct.pack('>BI4I4I2', 1, tonumber(time[1]), tonumber(time[2]), 0) .. ARGV[1]
redis.call('SET', prefix .. 'flush:' .. number, flush)
redis.call('LPUSH', prefix .. 'refused', number)
append_feed(prefix, number, flush, tonumber(ARGV[3]))
redis.call('HSET', prefix .. 'held', number, '1 !refused=' .. size)
redis.call('HINCRBY', prefix .. 'usage', 'org:!refused', size)
redis.call('HINCRBY', prefix .. 'usage', 'total', size)
return number
