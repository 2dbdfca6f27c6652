#!lua flags=allow-oom
-- A worker of the door puts back what it holds. door.lua is put before this text.
-- KEYS[1] the submit list; ARGV[1] what the door's own keys of the org start with; ARGV[2] the worker
-- Answers how many elements.

return put_back(ARGV[1], KEYS[1], ARGV[2], false)
