-- Begins every script that writes for the learner: replies 'lost' unless `token` is current.
local function fenced(lease, token)
  local held = redis.call('HMGET', lease, 'token', 'owner')
  if held[1] == token then return nil end
  if not held[1] then return {'lost'} end
  return {'lost', held[1], held[2] or ''}
end
