-- Adds weights to the counts of items. KEYS[1] a hash. ARGV: seconds to live (0: for ever), then item, weight, item, ...
for i = 2, #ARGV, 2 do
  redis.call('HINCRBYFLOAT', KEYS[1], ARGV[i], ARGV[i + 1])
end
if tonumber(ARGV[1]) > 0 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
return (#ARGV - 1) / 2
