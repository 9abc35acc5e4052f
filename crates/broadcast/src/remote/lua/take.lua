-- KEYS orders, wake. ARGV worker, idle ms after which an order may be claimed.
-- Replies the entry, its delivery count and its fields; or the last id of `wake`, to wait for the
-- next. One script, so that an order is never taken without its count, and a missing group (after a
-- loss of Redis) is created again without a gap.
local orders, worker, idle = KEYS[1], ARGV[1], ARGV[2]
local function taken(entry, count)
  local reply = {'order', entry[1], tostring(count)}
  for _, text in ipairs(entry[2]) do reply[#reply + 1] = text end
  return reply
end

for _ = 1, 64 do
  local silent = redis.pcall('XPENDING', orders, 'samplers', 'IDLE', idle, '-', '+', 1)
  if silent.err then
    if not string.find(silent.err, 'NOGROUP', 1, true) then return silent end
    redis.call('XGROUP', 'CREATE', orders, 'samplers', '0', 'MKSTREAM')
    break
  end
  if #silent == 0 then break end
  local id = silent[1][1]
  local claimed = redis.call('XCLAIM', orders, 'samplers', worker, idle, id)
  if claimed[1] then
    local count = redis.call('XPENDING', orders, 'samplers', id, id, 1)[1][4]
    return taken(claimed[1], count)
  end
  -- The entry was deleted.
  redis.call('XACK', orders, 'samplers', id)
end

local read = redis.call(
  'XREADGROUP', 'GROUP', 'samplers', worker, 'COUNT', 1, 'STREAMS', orders, '>')
if read and read[1] and read[1][2][1] then return taken(read[1][2][1], 1) end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
return {'none', last[1] and last[1][1] or '0-0'}
