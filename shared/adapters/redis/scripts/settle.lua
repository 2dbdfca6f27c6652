-- Verdicts on received messages: the first one of each is its verdict, whoever asks (docs/internals.md, "Brokered").
-- feed.lua is put before this text.
-- KEYS[1] the shard's prefix
-- ARGV[1] 77 bytes a ruling: record id 16, message id 16, digest 32, kind (`m` accepted, `a` refused, `s` the same as an accepted one), org u16,
-- targets u16 (places in ARGV[2], ARGV[3]), size u32, revision u32
-- ARGV[2] orgs, ARGV[3] sets of targets (backbones with commas between): each by lines
-- ARGV[4] seconds that a verdict is kept; ARGV[5] the limit of the shard in bytes; ARGV[6] an epoch, in case the shard is new
-- ARGV[7]... three a ruling: the packed log record (a list of one), the same cut for the feed or "", the packed verdict
-- Answers {seconds, microseconds, epoch, {outcome, value, flush number}, ...}: `n` it is the verdict now; `k` there was one: the value; `d` the
-- event was accepted in the window: the value in `ids`; `c` another event of the identity was: the same, and nothing is written; `g` gone.
local prefix, meta = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local seconds, microseconds = tonumber(time[1]), tonumber(time[2])
local STRIDE, WINDOW = 77, 120
local usage = prefix .. 'usage'

local function lines(text)
  local found = {}
  for line in string.gmatch(text, '([^\n]*)\n') do found[#found + 1] = line end
  return found
end
local orgs, targets = lines(ARGV[2]), lines(ARGV[3])

local minute = math.floor(seconds / 60)
local function accepted(id)
  local found
  for back = 2, -1, -1 do
    local value = redis.call('HGET', prefix .. 'ids:' .. (minute - back), id)
    if value then
      local _, second = struct.unpack('>I4I4', value, 33)
      if seconds - second <= WINDOW then found = value end
    end
  end
  return found
end

-- The flush of one record. What it weighs was counted as received: here it moves from there.
local function log(org, size, packed, cut, names)
  local number = next_number(prefix, ARGV[6])
  local head = struct.pack('>BI4I4I2', 1, seconds, microseconds, 1) .. 'n'
  redis.call('SET', prefix .. 'flush:' .. number, head .. packed)
  redis.call('LPUSH', prefix .. 'queue', number)
  append_feed(prefix, number, head .. (cut == '' and packed or cut), tonumber(ARGV[5]))
  local holders = 1
  for backbone in string.gmatch(names, '[^,]+') do
    local key, score = prefix .. 'pending:' .. backbone, seconds * 1000000 + microseconds
    local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
    redis.call('ZADD', key, math.max(score, (tonumber(last) or 0) + 1), number)
    holders = holders + 1
  end
  redis.call('HINCRBY', usage, 'org:' .. org, size)
  redis.call('HINCRBY', usage, 'total', size)
  redis.call('HSET', prefix .. 'held', number, holders .. ' ' .. org .. '=' .. size)
  return number
end

-- The record waits no more, and its identity is free.
local function forget(record, event)
  local value = redis.call('HGET', prefix .. 'receiving', record)
  local size, length = struct.unpack('>I4I2', value)
  local name = string.sub(value, 7, 6 + length)
  if redis.call('HINCRBY', usage, 'org:' .. name, -size) <= 0 then redis.call('HDEL', usage, 'org:' .. name) end
  redis.call('HINCRBY', usage, 'total', -size)
  redis.call('HDEL', prefix .. 'receiving', record)
  redis.call('ZREM', prefix .. 'received', record)
  if redis.call('HGET', prefix .. 'identities', event) == record then redis.call('HDEL', prefix .. 'identities', event) end
end

local answers, any = {}, false
for i = 1, #meta / STRIDE do
  local at = (i - 1) * STRIDE
  local record, id, digest = string.sub(meta, at + 1, at + 16), string.sub(meta, at + 17, at + 32), string.sub(meta, at + 33, at + 64)
  local kind = string.sub(meta, at + 65, at + 65)
  local org, set, size, revision = struct.unpack('>I2I2I4I4', meta, at + 66)
  local packed, cut, verdict = ARGV[7 + (i - 1) * 3], ARGV[8 + (i - 1) * 3], ARGV[9 + (i - 1) * 3]
  local key = prefix .. 'verdict:' .. record
  local kept = redis.call('GET', key)
  local known = not kept and kind ~= 's' and accepted(id)
  local number = 0
  if kept then
    answers[i] = { 'k', kept, 0 }
  elseif redis.call('HEXISTS', prefix .. 'receiving', record) == 0 then
    answers[i] = { 'g', '', 0 }
  elseif known and string.sub(known, 1, 32) ~= digest and not (kind == 'a' and string.sub(verdict, 1, 1) == 'i') then
    answers[i] = { 'c', known, 0 }
  elseif known and string.sub(known, 1, 32) == digest then
    redis.call('SET', key, 'd' .. known, 'EX', ARGV[4])
    answers[i] = { 'd', known, 0 }
    forget(record, id .. digest)
    any = true
  else
    -- A crash of the server aside nothing stops half-way here; and the marks that a repeated ruling would find come last all the same.
    if kind ~= 's' then number = log(orgs[org + 1], size, packed, cut, kind == 'm' and targets[set + 1] or '') end
    redis.call('SET', key, 'v' .. string.sub(verdict, 2), 'EX', ARGV[4])
    forget(record, id .. digest)
    if kind == 'm' then
      local ids = prefix .. 'ids:' .. minute
      local place = struct.pack('>I4I4I4I4I2', revision, seconds, math.floor(number / 4294967296), number % 4294967296, 0)
      redis.call('HSET', ids, id, digest .. place .. targets[set + 1])
      redis.call('EXPIRE', ids, 360)
    end
    answers[i] = { 'n', '', number }
    any = true
  end
end
if not any then redis.call('INCR', prefix .. 'touched') end
return { seconds, microseconds, redis.call('GET', prefix .. 'epoch') or '', unpack(answers) }
