-- From where on the feed of a shard has what no store has yet. Refusals count: the feed shows them, too.
-- KEYS[1] the shard's prefix
-- Answers {epoch, the number of the oldest flush that is in no store yet, else of the next one, and when that was logged: seconds,
-- microseconds; 0 where nothing waits}, and '', 0, 0, 0 where nothing was ever logged.

local prefix = KEYS[1]
local epoch = redis.call('GET', prefix .. 'epoch')
if not epoch then return { '', 0, 0, 0 } end

-- A logger takes refusals behind what is in the queue, whichever was logged first, and what one gives back, or leaves behind, is put where
-- it is taken next: the oldest needn't be at the end. BACK: as many as came back, two takes (MOST_FLUSHES, log_reader.py).
local BACK = 2000
local oldest
local function look(list, from)
  for _, each in ipairs(redis.call('LRANGE', list, from, -1)) do
    local number = tonumber(each)
    if not oldest or number < oldest then oldest = number end
  end
end
look(prefix .. 'queue', -BACK)
look(prefix .. 'refused', -1)
for _, worker in ipairs(redis.call('ZRANGE', prefix .. 'workers', 0, -1)) do look(prefix .. 'taken:' .. worker, 0) end
if not oldest then return { epoch, tonumber(redis.call('GET', prefix .. 'number') or '0') + 1, 0, 0 } end

local head = redis.call('GETRANGE', prefix .. 'flush:' .. string.format('%d', oldest), 1, 8)
if #head < 8 then return { epoch, oldest, 0, 0 } end
local seconds, microseconds = struct.unpack('>I4I4', head)
return { epoch, oldest, seconds, microseconds }
