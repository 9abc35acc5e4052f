-- KEYS lease, fence. ARGV owner, ttl in ms, greatest token that the caller knows.
local held = redis.call('HMGET', KEYS[1], 'owner', 'token')
if held[1] and held[1] ~= ARGV[1] then
  return {'held', held[2], held[1], tostring(redis.call('PTTL', KEYS[1]))}
end
local now = redis.call('TIME')
local token = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
token = math.max(token, tonumber(redis.call('GET', KEYS[2]) or '0') + 1, tonumber(ARGV[3]) + 1)
local text = string.format('%.0f', token)
redis.call('SET', KEYS[2], text)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'token', text)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'ok', text}
