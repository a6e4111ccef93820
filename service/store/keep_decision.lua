-- Keeps a decision that has a name; the layout is described in named.py. Where the name is taken, the first one stands.
-- KEYS[1] the user's decisions. ARGV: decisions kept, bytes kept, seconds to live, hash of the name, the reply.
local cap, room, name = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[4]
local value = redis.call('GET', KEYS[1]) or ''
local starts, at = {}, 1
while at + 11 <= #value do
  if string.sub(value, at, at + 7) == name then return 0 end
  starts[#starts + 1] = at
  at = at + 12 + struct.unpack('<I4', value, at + 8)
end
local entry = name .. struct.pack('<I4', #ARGV[5]) .. ARGV[5]
if #entry > room then return 0 end
local first = 1
while first <= #starts and (#starts - first + 2 > cap or #value - starts[first] + 1 + #entry > room) do
  first = first + 1
end
local newer = starts[first] and string.sub(value, starts[first]) or ''
redis.call('SET', KEYS[1], newer .. entry, 'EX', ARGV[3])
return 1
