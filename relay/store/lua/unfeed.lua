-- Entries leave a partner's pull feed, which remembers the last position that left. tag p:<partner> · member …
-- -> how many left
local function operation(tag, a)
  local last = tonumber(call('HGET', key(tag, 'ends'), 'fed') or '0')
  local left = {}
  for n, position in ipairs(call('ZMSCORE', key(tag, 'feed'), unpack(a))) do
    if position then
      left[#left + 1] = a[n]
      last = math.max(last, tonumber(position))
    end
  end
  if #left > 0 then
    call('HSET', key(tag, 'ends'), 'fed', string.format('%.0f', last))
    call('ZREM', key(tag, 'feed'), unpack(left))
  end
  return #left
end
