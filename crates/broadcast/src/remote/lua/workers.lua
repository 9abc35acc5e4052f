-- KEYS workers. Replies the server's time in ms, then alternating worker and report.
local now = redis.call('TIME')
local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local reply = redis.call('HGETALL', KEYS[1])
table.insert(reply, 1, string.format('%.0f', ms))
return reply
