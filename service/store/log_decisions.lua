-- Appends decisions to one capped stream. KEYS[1] the stream. ARGV: entries kept, then one decision each.
for i = 2, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'd', ARGV[i])
end
return #ARGV - 1
