-- KEYS any. ARGV the type of each. Removes each key that has another type, which no program of the run can
-- read. Replies the removed keys.
local removed = {}
for index, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= ARGV[index] then
    redis.call('UNLINK', key)
    removed[#removed + 1] = key
  end
end
return removed
