-- KEYS lease, weights, current, manifest, then one for each chunk.
-- ARGV token, id, version, upload, manifest, 'current' or 'aside', prefix of all chunks.
local lost = fenced(KEYS[1], ARGV[1])
if lost then return lost end
local id, upload = ARGV[2], ARGV[4]
local current = redis.call('HMGET', KEYS[3], 'id', 'version', 'token')
local expose = ARGV[6] == 'current'
if expose and current[3] == ARGV[1] and tonumber(current[2]) > tonumber(ARGV[3]) then
  return {'older', current[1]}
end
for index = 5, #KEYS do
  if redis.call('EXISTS', KEYS[index]) == 0 then return {'missing', tostring(index - 5)} end
end
for index = 5, #KEYS do redis.call('PERSIST', KEYS[index]) end

local before = redis.call('HGET', KEYS[2], id)
redis.call('SET', KEYS[4], ARGV[5])
redis.call('HSET', KEYS[2], id, ARGV[1] .. ' ' .. upload .. ' ' .. tostring(#KEYS - 4))
if expose or current[1] == id then
  redis.call('HSET', KEYS[3], 'id', id, 'version', ARGV[3], 'token', ARGV[1], 'upload', upload)
end
-- The replaced copy. Its chunks are in the same slot as all keys of the run.
local replaced = {}
if string.match(before or '', '^%d+ (%S+) %d+$') ~= upload then replaced = retire(ARGV[7], before) end
return {'ok', replaced[1], replaced[2]}
