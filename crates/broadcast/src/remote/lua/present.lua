-- KEYS weights, manifest. ARGV id, prefix of all chunks. Replies the number of missing parts; -1:
-- all.
local upload, chunks = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^%d+ (%S+) (%d+)$')
if not upload or redis.call('EXISTS', KEYS[2]) == 0 then return -1 end
local missing = 0
for chunk = 0, tonumber(chunks) - 1 do
  missing = missing + 1 - redis.call('EXISTS', ARGV[2] .. upload .. ':' .. chunk)
end
return missing
