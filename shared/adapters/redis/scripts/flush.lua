-- One flush of one door process (log.md, "One flush"). release.lua, marks.lua and feed.lua are put before this text.
-- KEYS[1] the shard's prefix
-- ARGV[1] 60 bytes a record: id 16, digest 32, org u16, targets u16 (places in ARGV[4], ARGV[5]), size u32, revision u32
-- ARGV[2] how many of them are messages; ARGV[3] how many, behind those, are only looked up
-- ARGV[4] orgs, ARGV[5] sets of targets (backbones with commas between): each by lines
-- ARGV[6] the packed records; ARGV[7] the same cut for the feed, or "" where nothing was cut
-- ARGV[8] the limit of the shard in bytes; ARGV[9] bytes of the records that have no identity (deliveries), 0 for none
-- ARGV[10] MessagePack: {epoch = the one that the numbers are of, seen = {number, seconds, microseconds} of a flush in it, {0, 0, 0} for none, whole = {{backbone, number, ...}, ...}, part = {{backbone, number, {index, ...}}, ...}, retry = {{backbone, member, ms}, ...}, hold = {backbone, ...}, marks = as marks.lua has them}
-- ARGV[11] an epoch, in case the shard is new or went back
-- Answers {number, seconds, microseconds, mask, hits, gates, epoch}: a hit for each record of the mask that is no 'n' or 'f', in order.
local prefix, meta = KEYS[1], ARGV[1]
local messages, lookups = tonumber(ARGV[2]), tonumber(ARGV[3])
local limit, extra = tonumber(ARGV[8]), tonumber(ARGV[9])
local time = redis.call('TIME')
local seconds, microseconds = tonumber(time[1]), tonumber(time[2])
local STRIDE, WINDOW, ID_BYTES = 60, 120, 128

local function lines(text)
  local found = {}
  for line in string.gmatch(text, '([^\n]*)\n') do found[#found + 1] = line end
  return found
end

-- 1. What is known of these identities: three minutes can hold the window, and the next one, should the clock have gone back; a later
-- one overrides.
local count = messages + lookups
local known = {}
if count > 0 then
  local ids = {}
  for i = 1, count do ids[i] = string.sub(meta, (i - 1) * STRIDE + 1, (i - 1) * STRIDE + 16) end
  local minute = math.floor(seconds / 60)
  for back = 2, -1, -1 do
    local key = prefix .. 'ids:' .. (minute - back)
    if redis.call('EXISTS', key) == 1 then
      local values = redis.call('HMGET', key, unpack(ids))
      for i = 1, count do
        local value = values[i]
        if value then
          local _, second = struct.unpack('>I4I4', value, 33)
          if seconds - second <= WINDOW then known[i] = value end
        end
      end
    end
  end
end

local orgs, targets = lines(ARGV[4]), lines(ARGV[5])
local held = {}
local used = 0
local tight = {}
if messages > 0 then
  local minute = math.floor(seconds / 60)
  for back = 5, 0, -1 do used = used + redis.call('HLEN', prefix .. 'ids:' .. (minute - back)) * ID_BYTES end
  local usage = redis.call('HMGET', prefix .. 'usage', 'total', 'feed')
  used = used + (tonumber(usage[1]) or 0) + (tonumber(usage[2]) or 0)
  for place, org in ipairs(orgs) do
    held[place] = tonumber(redis.call('HGET', prefix .. 'usage', 'org:' .. org)) or 0
  end
end

local mask, hits, fresh, bytes = {}, {}, {}, {}
for i = 1, count do
  local value = known[i]
  local at = (i - 1) * STRIDE
  if value then
    mask[i] = string.sub(value, 1, 32) == string.sub(meta, at + 17, at + 48) and 'd' or 'c'
    hits[#hits + 1] = value
  elseif i > messages then
    mask[i] = '-'
  else
    local org, set, size = struct.unpack('>I2I2I4', meta, at + 49)
    org = org + 1
    local share = held[org] + size
    if used + size > limit or (used + size > limit * 0.75 and share > limit * 0.25) then
      mask[i] = 'f'
    else
      mask[i] = 'n'
      used, held[org] = used + size + ID_BYTES, share
      bytes[org] = (bytes[org] or 0) + size
      fresh[#fresh + 1] = i
    end
  end
end
mask = table.concat(mask)

-- What this door was told by the backbones, and which of them it can't reach.
local told = cmsgpack.unpack(ARGV[10])
if told.epoch ~= epoch_now(prefix, told.epoch, told.seen[1], told.seen[2], told.seen[3], ARGV[11]) then
  -- Numbers of a log that was lost, or that went back: here they are other flushes.
  told.whole, told.part, told.retry = {}, {}, {}
end
for _, entry in ipairs(told.whole) do
  for place = 2, #entry do
    if redis.call('ZREM', prefix .. 'pending:' .. entry[1], entry[place]) == 1 then
      redis.call('HDEL', prefix .. 'done:' .. entry[1], entry[place])
      release(prefix, entry[place])
    end
  end
end
for _, entry in ipairs(told.part) do
  local backbone, number, indexes = entry[1], entry[2], entry[3]
  if redis.call('GETRANGE', prefix .. 'flush:' .. number, 9, 10) == '\0\1' then  -- the only message of its flush: that is whole
    if redis.call('ZREM', prefix .. 'pending:' .. backbone, number) == 1 then
      redis.call('HDEL', prefix .. 'done:' .. backbone, number)
      release(prefix, number)
    end
  elseif redis.call('ZSCORE', prefix .. 'pending:' .. backbone, number) then
    local before = redis.call('HGET', prefix .. 'done:' .. backbone, number) or ''
    local packed = {}
    for place, index in ipairs(indexes) do packed[place] = struct.pack('>I2', index) end
    redis.call('HSET', prefix .. 'done:' .. backbone, number, before .. table.concat(packed))
  end
end
for _, entry in ipairs(told.retry) do
  redis.call('ZADD', prefix .. 'retry:' .. entry[1], 'NX', seconds * 1000 + math.floor(microseconds / 1000) + entry[3], entry[2])
end
mark(prefix, told.marks)
for _, backbone in ipairs(told.hold) do
  local gate = redis.call('HGET', prefix .. 'gates', backbone)
  if not gate or string.sub(gate, 1, 4) ~= 'held' then
    redis.call('HSET', prefix .. 'gates', backbone, 'held ' .. redis.call('INCR', prefix .. 'turns'))
  end
end

-- 2. The flush, its place in the queue, the feed.
local number = 0
if #fresh > 0 or extra > 0 then
  number = next_number(prefix, ARGV[11])
  local head = struct.pack('>BI4I4I2', 1, seconds, microseconds, messages) .. string.sub(mask, 1, messages)
  local flush = head .. ARGV[6]
  redis.call('SET', prefix .. 'flush:' .. number, flush)
  redis.call('LPUSH', prefix .. 'queue', number)
  append_feed(prefix, number, ARGV[7] == '' and flush or head .. ARGV[7], limit)

  -- 3. Who still waits for it.
  local waiting, holders = {}, 1
  for _, i in ipairs(fresh) do
    local _, set = struct.unpack('>I2I2', meta, (i - 1) * STRIDE + 49)
    local names = targets[set + 1]
    if not waiting[names] then
      waiting[names] = true
      for backbone in string.gmatch(names, '[^,]+') do
        -- Behind what is there, never beside it: the relay goes by the score, and the clock may have gone back.
        local key, score = prefix .. 'pending:' .. backbone, seconds * 1000000 + microseconds
        local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
        if redis.call('ZADD', key, math.max(score, (tonumber(last) or 0) + 1), number) == 1 then holders = holders + 1 end
      end
    end
  end
  local parts, total = { tostring(holders) }, 0
  if extra > 0 then bytes[#orgs + 1], orgs[#orgs + 1] = extra, '!log' end
  for place, size_of in pairs(bytes) do
    parts[#parts + 1] = orgs[place] .. '=' .. size_of
    redis.call('HINCRBY', prefix .. 'usage', 'org:' .. orgs[place], size_of)
    total = total + size_of
  end
  redis.call('HINCRBY', prefix .. 'usage', 'total', total)
  redis.call('HSET', prefix .. 'held', number, table.concat(parts, ' '))

  -- 4. The identities, last: had anything before failed, a retry must not find itself a duplicate.
  if #fresh > 0 then
    local key = prefix .. 'ids:' .. math.floor(seconds / 60)
    local marks = {}
    for _, i in ipairs(fresh) do
      local at = (i - 1) * STRIDE
      local _, set, _, revision = struct.unpack('>I2I2I4I4', meta, at + 49)
      marks[#marks + 1] = string.sub(meta, at + 1, at + 16)
      marks[#marks + 1] = string.sub(meta, at + 17, at + 48) .. struct.pack('>I4I4I4I4I2', revision, seconds, math.floor(number / 4294967296), number % 4294967296, i - 1) .. targets[set + 1]
    end
    redis.call('HSET', key, unpack(marks))
    redis.call('EXPIRE', key, 360)
  end
elseif count > 0 then
  redis.call('INCR', prefix .. 'touched')
end

return { number, seconds, microseconds, mask, hits, redis.call('HGETALL', prefix .. 'gates'), redis.call('GET', prefix .. 'epoch') or '' }
