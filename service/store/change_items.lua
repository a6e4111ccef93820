-- Keeps what became of items and tells those who follow. KEYS: the stream of changes; the hash of what stands.
-- ARGV: entries kept of the stream, then item, value, item, value, ...; an empty value: nothing stands any more.
-- An entry names the items of one call and is numbered without a gap, so that who follows sees whether any is missing.
-- Returns its number.
local n = redis.call('HINCRBY', KEYS[2], '', 1)
if n == 1 then
  redis.call('DEL', KEYS[1])
end
local names = {}
for i = 2, #ARGV, 2 do
  names[i - 1], names[i] = ARGV[i], ''
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[2], ARGV[i])
  else
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  end
end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], n .. '-0', unpack(names))
return n
