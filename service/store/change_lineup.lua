-- Puts a lineup in the place of the one that its author has seen. KEYS[1] a hash. ARGV: generation that was seen (0:
-- none), the new value. Returns 0 where another change came between.
if tonumber(redis.call('HGET', KEYS[1], 'generation') or '0') ~= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'generation', ARGV[1] + 1, 'lineups', ARGV[2])
return 1
