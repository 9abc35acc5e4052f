-- KEYS weights. ARGV id, upload, chunks, prefix of all chunks.
-- Discards the chunks of a failed upload, unless a manifest names them: the reply to its commit may
-- have been lost.
local named = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^%d+ (%S+) %d+$')
if named == ARGV[2] then return {'ok'} end
local retired = retire(ARGV[4], '0 ' .. ARGV[2] .. ' ' .. ARGV[3])
return {'ok', retired[1], retired[2]}
