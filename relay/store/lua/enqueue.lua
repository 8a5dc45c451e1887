-- A delivery enters its recipient's queue, once.
-- tag r:<recipient> · delivery id, meta, lane ('' none), sequence, now, requests a minute ('' no limit) -> when the queue is next due, or ''
--@queue
local function operation(tag, a)
  local d = key(tag, 'd:' .. a[1])
  if a[6] ~= '' then call('HSET', key(tag, 'q'), 'rate', a[6]) else call('HDEL', key(tag, 'q'), 'rate') end
  if call('EXISTS', d) == 0 then
    call('HSET', d, 'm', a[2], 'l', a[3], 'q', a[4], 's', 'p', 'n', '0', 't', a[5])
    call('ZADD', key(tag, 'all'), a[5], a[1])
    if a[3] == '' then
      call('ZADD', key(tag, 'due'), a[5], a[1])
    else
      call('ZADD', key(tag, 'lane:' .. a[3]), a[4], a[1])
      focus(tag, a[3], a[5])
    end
  end
  return next_due(tag)
end
