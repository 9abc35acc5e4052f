-- KEYS lease, orders, index. ARGV token, then the ids of the orders that stay.
-- Removes every other entry, also those of other clients. Replies the number of removed entries.
local lost = fenced(KEYS[1], ARGV[1])
if lost then return lost end
local stays = {}
for index = 2, #ARGV do
  local entry = redis.call('HGET', KEYS[3], ARGV[index])
  if entry then stays[entry] = true end
end
local removed = 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+')) do
  if not stays[entry[1]] then
    -- Fails without the group, which has then delivered nothing.
    redis.pcall('XACK', KEYS[2], 'samplers', entry[1])
    redis.call('XDEL', KEYS[2], entry[1])
    removed = removed + 1
  end
end
local known = redis.call('HGETALL', KEYS[3])
for at = 1, #known, 2 do
  if not stays[known[at + 1]] then redis.call('HDEL', KEYS[3], known[at]) end
end
return {'ok', tostring(removed)}
