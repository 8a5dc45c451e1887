-- A recipient is held (disabled) or released. tag r:<recipient> · 1 or 0, now -> when it is next due, or ''
--@queue
local function operation(tag, a)
  local q = key(tag, 'q')
  if a[1] == '1' then call('HSET', q, 'held', '1') else call('HDEL', q, 'held', 'hold', 'fs', 'warned') end
  return next_due(tag)
end
