-- Deliveries enter their recipient's queue, each once.
-- tag r:<recipient> · requests a minute ('' no limit), the hint's tag (joint only: who delivers is told in the same
--   step), then for each: delivery id, meta, lane ('' none),
--   sequence, now -> when the queue is next due, or ''
--@queue
local function operation(tag, a)
  local q = key(tag, 'q')
  local known = call('HMGET', q, 'rate', 'held', 'hold', 'probe', 'token')
  if (known[1] or '') ~= a[1] then
    if a[1] ~= '' then call('HSET', q, 'rate', a[1]) else call('HDEL', q, 'rate') end
  end
  local ids, lanes = {}, {}
  for i = 3, #a, 5 do
    ids[#ids + 1] = a[i]
    if a[i + 2] ~= '' then lanes[#lanes + 1] = key(tag, 'lane:' .. a[i + 2]) end
  end
  local before = gathered('ZMSCORE', key(tag, 'all'), ids)
  -- A call for all of them: where none of these lanes has anything yet, whoever is first in one is its head.
  local fresh, met = #lanes == 0 or counted('EXISTS', lanes) == 0, {}
  local all, due, crowded = {}, {}, {}
  for n, did in ipairs(ids) do
    local i = 5 * n - 2
    local lane, now = a[i + 2], a[i + 4]
    local known_already = met[did] or before[n] and call('EXISTS', key(tag, 'd:' .. did)) == 1
    if not known_already then
      met[did] = true
      call('HSET', key(tag, 'd:' .. did), 'm', a[i + 1], 'l', lane, 'q', a[i + 3], 's', 'p', 'n', '0', 't', now)
      all[#all + 1] = now
      all[#all + 1] = did
      local alone = lane == ''
      if not alone then
        local waiting = key(tag, 'lane:' .. lane)
        call('ZADD', waiting, a[i + 3], did)
        -- Alone in its lane: nothing of it is in flight, and it is the head.
        if fresh then alone = not met[waiting] else alone = call('ZCARD', waiting) == 1 end
        met[waiting] = true
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
  local at
  if #due == 0 or #crowded > 0 then at = next_due(tag)
  else at = string.format('%.0f', math.max(tonumber(due[1]), tonumber(known[3] or '0'), tonumber(known[4] or '0'))) end
  -- Who has the queue sees it before the queue is given back, and while somebody has it, there is a hint too.
  if a[2] ~= '' and at ~= '' and not known[5] then
    local hints, member = key(a[2], 'at'), string.sub(tag, 3)
    call('ZADD', hints, 'LT', at, member)
    -- Not before a time to come: who has taken the hint until before it is not to give it back (lua/due.lua).
    if tonumber(at) > tonumber(a[#a]) then
      local score = tonumber(call('ZSCORE', hints, member))
      if score ~= math.floor(score) then call('ZADD', hints, string.format('%.0f', math.floor(score)), member) end
    end
  end
  return at
end
