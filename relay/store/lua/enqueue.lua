-- Deliveries enter their recipient's queue, each once. Where nothing else is there or on its way, a pass over them may
-- begin in the same step.
-- tag r:<recipient> · requests a minute ('' no limit), the hint's tag (joint only: who delivers is told in the same
--   step), of a pass that may begin (joint only) its token ('' none may), the score that the hint is then taken with,
--   which is when its lease ends with a fraction, and how many it wants; then for each: delivery id, meta, lane
--   ('' none), sequence, now
-- -> when the queue is next due, or ''; where a pass began { delivery … }: what it has in flight
--@queue

-- Whether there is nothing to know of the queue but what enters it now, at `since`.
local function is_idle(tag, known, since)
  for n = 4, 9 do
    if known[n] then return false end
  end
  return known[2] ~= '1' and tonumber(known[3] or '0') <= since and call('EXISTS', key(tag, 'due'), key(tag, 'again'), key(tag, 'fly')) == 0
end

-- A pass has what is first of it in flight; the rest is left in `due` (time, delivery …), and may be in `lanes`.
local function begin(tag, q, a, due, lane_of)
  local ends, flying, busy, begun = math.floor(tonumber(a[4])), {}, {}, {}
  for i = 1, math.min(#due, 2 * tonumber(a[5])), 2 do
    local did = due[i + 1]
    flying[i], flying[i + 1] = did, due[i]
    begun[#begun + 1] = did
    if lane_of[did] ~= '' then
      busy[#busy + 1] = lane_of[did]
      busy[#busy + 1] = did
    end
  end
  call('HSET', key(tag, 'fly'), unpack(flying))
  if #busy > 0 then call('HSET', key(tag, 'busy'), unpack(busy)) end
  call('HSET', q, 'token', a[3], 'until', string.format('%.0f', ends))
  call('ZADD', key(a[2], 'at'), a[4], string.sub(tag, 3))
  return begun
end

local function operation(tag, a)
  local q = key(tag, 'q')
  local known = call('HMGET', q, 'rate', 'held', 'hold', 'probe', 'token', 'cap', 'fs', 'breaker', 'incident')
  if (known[1] or '') ~= a[1] then
    if a[1] ~= '' then call('HSET', q, 'rate', a[1]) else call('HDEL', q, 'rate') end
  end
  local ids, keys = {}, {}
  for i = 6, #a, 5 do
    ids[#ids + 1] = a[i]
    keys[#keys + 1] = key(tag, 'd:' .. a[i])
    if a[i + 2] ~= '' then keys[#keys + 1] = key(tag, 'lane:' .. a[i + 2]) end
  end
  -- A call for all of them: mostly none of these is known, and none of their lanes has anything yet, so that whoever is
  -- first in one is its head.
  local fresh, met = counted('EXISTS', keys) == 0, {}
  local all, due, crowded, lane_of = {}, {}, {}, {}
  for n, did in ipairs(ids) do
    local i = 5 * n + 1
    local lane, now = a[i + 2], a[i + 4]
    local known_already = met[did]
      or not fresh and call('ZSCORE', key(tag, 'all'), did) and call('EXISTS', key(tag, 'd:' .. did)) == 1
    if not known_already then
      met[did] = true
      lane_of[did] = lane
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
  local begun
  if a[3] ~= '' and #due > 0 and a[1] == '' and is_idle(tag, known, tonumber(due[1])) then
    begun = begin(tag, q, a, due, lane_of)
    local rest = {}
    for i = 2 * #begun + 1, #due do rest[#rest + 1] = due[i] end
    due = rest
  elseif a[3] ~= '' and known[5] == a[3] then
    -- Asked again, because the answer was lost: it is what it was.
    begun = {}
    for n, flies in ipairs(gathered('HMGET', key(tag, 'fly'), ids)) do
      if flies and not met[ids[n]] then begun[#begun + 1] = ids[n] end
      met[ids[n]] = true
    end
  end
  many('ZADD', key(tag, 'due'), due)
  for _, lane in ipairs(crowded) do focus(tag, lane) end
  if begun then return begun end
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
