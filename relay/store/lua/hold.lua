-- A recipient is held (disabled) or released. What was tried before it was held is released among the rest, in
-- the order in which it all was planned. tag r:<recipient> · 1 or 0, now -> when it is next due, or ''
--@queue
local function operation(tag, a)
  local q = key(tag, 'q')
  if a[1] == '1' then
    call('HSET', q, 'held', '1')
    return next_due(tag)
  end
  call('HDEL', q, 'held', 'hold', 'fs', 'warned')
  gather(tag)
  return next_due(tag)
end
