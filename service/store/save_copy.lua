-- Keeps a copy only while the history it was made from is still the newest: a late writer must not undo an erasure.
-- KEYS: history, copy. ARGV: header of the history, seconds to live, the copy.
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) == ARGV[1] then
  redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[2])
  return 1
end
return 0
