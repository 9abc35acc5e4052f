-- KEYS orders, index. ARGV entry, order id.
redis.call('XACK', KEYS[1], 'samplers', ARGV[1])
redis.call('XDEL', KEYS[1], ARGV[1])
if redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[1] then redis.call('HDEL', KEYS[2], ARGV[2]) end
return {'ok'}
