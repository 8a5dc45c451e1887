-- A delivery enters its recipient's queue, once.
-- tag r:<recipient> · delivery id, meta, lane ('' none), sequence, now, requests a minute ('' no limit) -> when the queue is next due, or ''
--@queue
local function operation(tag, a)
  local q = key(tag, 'q')
  local known = call('HMGET', q, 'rate', 'held', 'hold')
  if (known[1] or '') ~= a[6] then
    if a[6] ~= '' then call('HSET', q, 'rate', a[6]) else call('HDEL', q, 'rate') end
  end
  local d = key(tag, 'd:' .. a[1])
  if call('EXISTS', d) == 1 then return next_due(tag) end
  call('HSET', d, 'm', a[2], 'l', a[3], 'q', a[4], 's', 'p', 'n', '0', 't', a[5])
  call('ZADD', key(tag, 'all'), a[5], a[1])
  if a[3] == '' then
    call('ZADD', key(tag, 'due'), a[5], a[1])
  else
    local lane = key(tag, 'lane:' .. a[3])
    call('ZADD', lane, a[4], a[1])
    if call('ZCARD', lane) > 1 then
      focus(tag, a[3], a[5])
      return next_due(tag)
    end
    -- Alone in its lane: nothing of it is in flight, and it is the head.
    call('ZADD', key(tag, 'due'), a[5], a[1])
  end
  if known[2] == '1' then return '' end
  return string.format('%.0f', math.max(tonumber(a[5]), tonumber(known[3] or '0')))
end
