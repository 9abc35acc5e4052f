-- KEYS lease, weights, current. ARGV token, prefix of all manifests, prefix of all chunks, ids.
-- Replies with upload and number of chunks of each retired copy.
local lost = fenced(KEYS[1], ARGV[1])
if lost then return lost end
local current = redis.call('HGET', KEYS[3], 'id')
local reply = {'ok'}
for index = 4, #ARGV do
  local id = ARGV[index]
  if id ~= current then
    for _, text in ipairs(retire(ARGV[3], redis.call('HGET', KEYS[2], id))) do
      reply[#reply + 1] = text
    end
    redis.call('HDEL', KEYS[2], id)
    redis.call('DEL', ARGV[2] .. id)
  end
end
return reply
