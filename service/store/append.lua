-- Appends events to one history; the layout is described in history.py.
-- KEYS: the history; the attributes, which live as long; where events are logged, the stream.
-- ARGV: events kept, seconds to live, records of 28 bytes joined, 1 where the whole history is wanted, 8 random bytes
-- for a new history; where events are logged, entries kept, the start of a serialized Recorded and an Outcome an event.
-- Returns {one digit an event: 1 added, 2 duplicate, 3 too old; number of events kept; header, or the whole history}.
local SIZE, HEADER = 28, 16
local USER = string.char(0x11) -- the tag of Recorded.user
local cap, ttl, incoming = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local value = redis.call('GET', KEYS[1]) or ''
local mixed, total, pseudonym = 0, 0, ARGV[5]
local records, times, seen = {}, {}, {}
if #value >= HEADER then
  mixed, total = struct.unpack('<I4I4', value)
  pseudonym = string.sub(value, 9, HEADER)
  for at = HEADER + 1, #value - SIZE + 1, SIZE do
    local record = string.sub(value, at, at + SIZE - 1)
    records[#records + 1] = record
    times[#times + 1] = struct.unpack('<I6', record, 9)
    seen[string.sub(record, 1, 8)] = true
  end
end
local statuses, outcomes = {}, {}
for at = 1, #incoming - SIZE + 1, SIZE do
  local record = string.sub(incoming, at, at + SIZE - 1)
  local id, time = string.sub(record, 1, 8), struct.unpack('<I6', record, 9)
  local status = '1'
  if seen[id] then
    status = '2'
  elseif #records >= cap and time < times[1] then
    status = '3'
  else
    local place = #records
    while place > 0 and times[place] > time do place = place - 1 end
    table.insert(records, place + 1, record)
    table.insert(times, place + 1, time)
    seen[id] = true
    mixed = bit.bxor(mixed, (struct.unpack('<I4', id))) % 4294967296
    total = (total + 1) % 4294967296
    outcomes[#outcomes + 1] = ARGV[7 + #statuses + 1] or ''
    while #records > cap do
      table.remove(records, 1)
      table.remove(times, 1)
    end
  end
  statuses[#statuses + 1] = status
end
local header = struct.pack('<I4I4', mixed, total) .. pseudonym
if #outcomes > 0 then
  value = header .. table.concat(records)
  redis.call('SET', KEYS[1], value, 'EX', ttl)
  redis.call('EXPIRE', KEYS[2], ttl)
  if KEYS[3] then
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*', 'e', ARGV[7] .. USER .. pseudonym .. table.concat(outcomes))
  end
end
return {table.concat(statuses), #records, ARGV[4] == '1' and value or header}
