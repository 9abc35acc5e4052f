-- KEYS orders. Replies, oldest first: order id, worker ('' if none), attempt, idle ms.
local held = {}
local entries = redis.call('XRANGE', KEYS[1], '-', '+')
if #entries > 0 then
  local pending = redis.pcall('XPENDING', KEYS[1], 'samplers', '-', '+', #entries)
  for _, entry in ipairs(pending.err and {} or pending) do held[entry[1]] = entry end
end
local reply = {}
for _, entry in ipairs(entries) do
  local order = ''
  for field = 1, #entry[2], 2 do
    if entry[2][field] == 'id' then order = entry[2][field + 1] end
  end
  local by = held[entry[1]] or {'', '', 0, 0}
  reply[#reply + 1] = order
  reply[#reply + 1] = by[2]
  reply[#reply + 1] = tostring(by[4])
  reply[#reply + 1] = tostring(by[3])
end
return reply
