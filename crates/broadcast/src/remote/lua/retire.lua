-- Begins every script that retires chunks: they expire soon. The caller deletes them earlier, a few
-- at a time, because Redis blocks other clients while it frees a string of 4 MiB.
local function retire(prefix, entry)
  local upload, chunks = string.match(entry or '', '^%d+ (%S+) (%d+)$')
  if not upload then return {} end
  for index = 0, tonumber(chunks) - 1 do
    redis.call('EXPIRE', prefix .. upload .. ':' .. index, 60)
  end
  return {upload, chunks}
end
