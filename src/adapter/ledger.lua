-- KEYS[1] holds the moment, in microseconds, at which all is paid for. ARGV: what the units cost, what may be owed by whoever
-- asks, what may be owed at all, and whether the units have been taken already.
local cost, tolerance, ceiling = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local paid_at = tonumber(redis.call('GET', KEYS[1]) or '') or 0
local owed = math.min(math.max(paid_at - now, 0), ceiling)
if ARGV[4] == '0' and owed + cost > tolerance then
  return {0, owed}
end
owed = math.min(owed + cost, ceiling)
redis.call('SET', KEYS[1], string.format('%.0f', now + owed), 'PX', math.ceil(owed / 1000))
return {1, owed}
