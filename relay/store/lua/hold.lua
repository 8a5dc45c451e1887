-- A recipient is held (disabled) or released. What was tried before it was held is released among the rest, in
-- the order in which it all was planned. tag r:<recipient> · 1 or 0, now, breaker to begin with ('' closed)
-- -> when it is next due, or ''
--@queue
local function operation(tag, a)
  local q = key(tag, 'q')
  set_breaker(q, a[3])
  if a[1] == '1' then
    call('HSET', q, 'held', '1')
    return next_due(tag)
  end
  call('HDEL', q, 'held', 'hold', 'fs', 'warned')
  gather(tag)
  local due = next_due(tag)
  if due == '' then set_breaker(q, '') end
  return due
end
