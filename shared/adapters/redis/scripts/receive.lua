-- Messages are logged as received: no verdict yet. It is settle.lua's to give (docs/internals.md, "Brokered").
-- KEYS[1] the shard's prefix
-- ARGV[1] 71 bytes a record: record id 16, message id 16, digest 32, org u16 (a place in ARGV[2]), size u32, 1 where each copy is a record of
-- its own, since its sender waits for a receipt
-- ARGV[2] orgs by lines; ARGV[3] the limit of the shard in bytes; ARGV[4]... the packed records
-- Answers {seconds, microseconds, mask, first}: `n` new, `w` the same event waits (first: its record), `d` it was accepted in the window
-- (first: the value in `ids`), `f` over the org's or the log's limit.
local prefix, meta, limit = KEYS[1], ARGV[1], tonumber(ARGV[3])
local time = redis.call('TIME')
local seconds, microseconds = tonumber(time[1]), tonumber(time[2])
local STRIDE, WINDOW, ID_BYTES = 71, 120, 128
local receiving, waiting, identities, usage = prefix .. 'receiving', prefix .. 'received', prefix .. 'identities', prefix .. 'usage'

local orgs = {}
for line in string.gmatch(ARGV[2], '([^\n]*)\n') do orgs[#orgs + 1] = line end

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

local used = (tonumber(redis.call('HGET', usage, 'total')) or 0) + (tonumber(redis.call('HGET', usage, 'feed')) or 0)
for back = 5, 0, -1 do used = used + redis.call('HLEN', prefix .. 'ids:' .. (minute - back)) * ID_BYTES end

local mask, first, marks, any = {}, {}, {}, false
local here = {}
for i = 1, #meta / STRIDE do
  local at = (i - 1) * STRIDE
  local record, id, digest = string.sub(meta, at + 1, at + 16), string.sub(meta, at + 17, at + 32), string.sub(meta, at + 33, at + 64)
  local org, size, own = struct.unpack('>I2I4B', meta, at + 65)
  local name, event = orgs[org + 1], id .. digest
  local known = own == 0 and accepted(id)
  local twin = own == 0 and (here[event] or redis.call('HGET', identities, event))
  if twin then
    mask[i] = 'w'
    first[#first + 1] = redis.call('HGET', receiving, twin) or ''
  elseif known and string.sub(known, 1, 32) == digest then
    mask[i] = 'd'
    first[#first + 1] = known
  else
    local share = (tonumber(redis.call('HGET', usage, 'org:' .. name)) or 0) + size
    if used + size > limit or (used + size > limit * 0.75 and share > limit * 0.25) then
      mask[i] = 'f'
    else
      mask[i] = 'n'
      used, any, here[event] = used + size, true, record
      redis.call('HSET', receiving, record, struct.pack('>I4I2', size, #name) .. name .. ARGV[4 + i - 1])
      redis.call('HINCRBY', usage, 'org:' .. name, size)
      redis.call('HINCRBY', usage, 'total', size)
      redis.call('ZADD', waiting, string.format('%.0f', seconds * 1000000 + microseconds + i - 1), record)
      marks[#marks + 1], marks[#marks + 2] = event, record
    end
  end
end
-- The identities last, as in flush.lua; where nothing is new one counter, so that WAITAOF covers the first copies.
for place = 1, #marks, 2 do redis.call('HSET', identities, marks[place], marks[place + 1]) end
if not any then redis.call('INCR', prefix .. 'touched') end
return { seconds, microseconds, table.concat(mask), first }
