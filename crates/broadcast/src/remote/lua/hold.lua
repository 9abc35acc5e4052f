-- KEYS orders, wake. ARGV entry, worker, attempt, 'keep' or 'back'.
-- Acts only while this delivery holds the entry: another worker may have claimed it.
local entry, worker = ARGV[1], ARGV[2]
local held = redis.pcall('XPENDING', KEYS[1], 'samplers', entry, entry, 1)
if held.err then
  if string.find(held.err, 'NOGROUP', 1, true) then return {'gone'} end
  return held
end
if not held[1] or held[1][2] ~= worker or tostring(held[1][4]) ~= ARGV[3] then return {'gone'} end
local claimed
if ARGV[4] == 'keep' then
  claimed = redis.call('XCLAIM', KEYS[1], 'samplers', worker, 0, entry, 'JUSTID')
else
  -- Maximal idle time, so that the next caller claims it, under a name that no worker has.
  claimed = redis.call(
    'XCLAIM', KEYS[1], 'samplers', '-', 0, entry, 'IDLE', 86400000, 'JUSTID')
  redis.call('XADD', KEYS[2], 'MAXLEN', 1, '*', 'n', 1)
end
if not claimed[1] then return {'gone'} end
return {'ok'}
