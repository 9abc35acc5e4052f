-- KEYS lease, orders, index, wake. ARGV token, then alternating order id and order.
local lost = fenced(KEYS[1], ARGV[1])
if lost then return lost end
for index = 2, #ARGV, 2 do
  local id = ARGV[index]
  local entry = redis.call('HGET', KEYS[3], id)
  if not entry or #redis.call('XRANGE', KEYS[2], entry, entry) == 0 then
    entry = redis.call('XADD', KEYS[2], '*', 'id', id, 'order', ARGV[index + 1])
    redis.call('HSET', KEYS[3], id, entry)
  end
end
redis.call('XADD', KEYS[4], 'MAXLEN', 1, '*', 'n', 1)
return {'ok'}
