#!lua flags=allow-oom
-- A reader of the feed had seen a flush of that number (feed.lua, `epoch_now`). feed.lua is put before this text.
-- KEYS[1] the shard's prefix; ARGV[1] the epoch; ARGV[2] the number; ARGV[3] a name for another epoch
-- Answers the epoch that it is now.
return epoch_now(KEYS[1], ARGV[1], tonumber(ARGV[2]), 0, 0, ARGV[3])
