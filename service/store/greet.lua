-- Gives a newcomer an empty history, for the number in its header by which the decision log knows them.
-- KEYS[1] the history. ARGV: header, seconds to live. Whoever has a history keeps it.
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) and 1 or 0
