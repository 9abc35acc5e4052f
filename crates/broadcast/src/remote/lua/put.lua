-- KEYS lease, the key to set. ARGV token, value.
local lost = fenced(KEYS[1], ARGV[1])
if lost then return lost end
redis.call('SET', KEYS[2], ARGV[2])
return {'ok'}
