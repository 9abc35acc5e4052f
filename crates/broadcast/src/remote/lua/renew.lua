-- KEYS lease. ARGV token, ttl in ms; a ttl of 0 releases the lease.
local lost = fenced(KEYS[1], ARGV[1])
if lost then return lost end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return {'ok'}
