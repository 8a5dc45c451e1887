-- Deliveries enter their recipient's queue, each once.
-- tag r:<recipient> · requests a minute ('' no limit), then for each: delivery id, meta, lane ('' none),
--   sequence, now -> when the queue is next due, or ''
--@queue
local function operation(tag, a)
  local q = key(tag, 'q')
  local known = call('HMGET', q, 'rate', 'held', 'hold', 'probe')
  if (known[1] or '') ~= a[1] then
    if a[1] ~= '' then call('HSET', q, 'rate', a[1]) else call('HDEL', q, 'rate') end
  end
  local all, due, crowded = {}, {}, {}
  for i = 2, #a, 5 do
    local did, lane, now = a[i], a[i + 2], a[i + 4]
    local d = key(tag, 'd:' .. did)
    if call('EXISTS', d) == 0 then
      call('HSET', d, 'm', a[i + 1], 'l', lane, 'q', a[i + 3], 's', 'p', 'n', '0', 't', now)
      all[#all + 1] = now
      all[#all + 1] = did
      local alone = lane == ''
      if not alone then
        call('ZADD', key(tag, 'lane:' .. lane), a[i + 3], did)
        -- Alone in its lane: nothing of it is in flight, and it is the head.
        alone = call('ZCARD', key(tag, 'lane:' .. lane)) == 1
      end
      if alone then
        due[#due + 1] = now
        due[#due + 1] = did
      else
        crowded[#crowded + 1] = lane
      end
    end
  end
  many('ZADD', key(tag, 'all'), all)
  many('ZADD', key(tag, 'due'), due)
  for _, lane in ipairs(crowded) do focus(tag, lane) end
  if known[2] == '1' then return '' end
  if #due == 0 or #crowded > 0 then return next_due(tag) end
  return string.format('%.0f', math.max(tonumber(due[1]), tonumber(known[3] or '0'), tonumber(known[4] or '0')))
end
