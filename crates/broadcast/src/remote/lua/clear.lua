-- KEYS lease, orders, index, nonce. ARGV token.
local lost = fenced(KEYS[1], ARGV[1])
if lost then return lost end
redis.call('UNLINK', KEYS[2], KEYS[3])
redis.call('XGROUP', 'CREATE', KEYS[2], 'samplers', '0', 'MKSTREAM')
local now = redis.call('TIME')
local nonce = ARGV[1] .. '-' .. now[1] .. '-' .. now[2]
redis.call('SET', KEYS[4], nonce)
return {'ok', nonce}
