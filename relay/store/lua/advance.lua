-- One pass over a recipient's queue: its results are recorded and the next due deliveries taken, under a
-- lease. A pass that lost its lease records nothing.
-- tag r:<recipient> · token, now, lease ms, want, still in flight,
--   requests a minute ('' as it was, 0 no limit), hold until ('' unchanged), breaker ('' unchanged, '-' closed),
--   the tag of the hint by which this pass began and the score it was taken with (joint only: when the pass ends, the
--   hint is given back; '' none), '1' for what each carries (joint only),
--   then for each result: delivery, verdict, next time, reason, attempt, sealed message, lane, attempts made before
--   verdicts: d delivered · x exhausted · c canceled · r try again · p a probe before its time, which counts for nothing · b back without an attempt (at 0: as it waited) ·
--             m keep the sealed message and stay in flight; with the others '-' for it says that it may be forgotten
-- -> { 'busy', lease until } · { 'lost' } ·
--    { 'ok', failing since or '', next due or '' (released) or '-' (lease kept), breaker or '',
--      incident's beginning or '', 1 for a probe before its time, version of what the partner of the first registered
--      or '', then for each delivery: id, meta, attempts made, sealed message or false, attempts made before it was
--      reopened, lane, its body ('' no longer kept, false not told: it is asked for) }
--@queue

-- What came of one delivery that was in flight and is no longer.
local function record(tag, now, did, verdict, at, reason, attempt, sealed, lane, n)
  local d = key(tag, 'd:' .. did)
  local set = {}
  if attempt ~= '' then
    n = n + 1
    set = { 'n', n, 'a' .. n, attempt }
  end
  if verdict == 'p' then
    call('HSET', d, unpack(set))
    call('HINCRBY', d, 'base', 1)
    return enter(tag, did, lane)
  end
  if verdict == 'r' or verdict == 'b' then
    if n > 0 then call('HSET', d, 'n', n, unpack(set)) end
    if at == '0' then return enter(tag, did, lane) end
    return await(tag, did, lane, at)
  end
  call('HSET', d, 's', verdict, 'z', now, 'w', reason, unpack(set))
  if sealed == '-' then call('HDEL', d, 'x') end
  if lane ~= '' then
    call('ZREM', key(tag, 'lane:' .. lane), did)
    focus(tag, lane)
  end
end

-- All results of a step. What is not in flight was recorded before. They leave together: a call costs more
-- than what it does.
local function record_all(tag, now, a)
  local ids, lanes = {}, {}
  for i = 12, #a, 8 do ids[#ids + 1] = a[i] end
  if #ids == 0 then return end
  local since = call('HMGET', key(tag, 'fly'), unpack(ids))
  local landed = {}
  for n, did in ipairs(ids) do
    local i = 4 + 8 * n
    if since[n] and a[i + 1] == 'm' then
      call('HSET', key(tag, 'd:' .. did), 'x', a[i + 5])
    elseif since[n] then
      landed[#landed + 1] = did
      if a[i + 6] ~= '' then lanes[#lanes + 1] = a[i + 6] end
    end
  end
  if #landed > 0 then call('HDEL', key(tag, 'fly'), unpack(landed)) end
  if #lanes > 0 then call('HDEL', key(tag, 'busy'), unpack(lanes)) end
  for n, did in ipairs(ids) do
    local i = 4 + 8 * n
    if since[n] and a[i + 1] ~= 'm' then
      record(tag, now, did, a[i + 1], a[i + 2], a[i + 3], a[i + 4], a[i + 5], a[i + 6], tonumber(a[i + 7]))
    end
  end
end

-- How many may go now, the time from which the next are counted, the gap between two, and how far ahead
-- of it they may be: a second's worth (the generic cell rate algorithm).
local function allowed(rate, tat, now)
  if rate == 0 then return math.huge, now, 0, 0 end
  local gap = 60000 / rate
  local base = math.max(tat, now)
  local slack = gap * (math.max(1, math.floor(rate / 60)) - 1)
  return math.floor((now + slack - base) / gap) + 1, base, gap, slack
end

-- Up to `want` due deliveries leave where they wait. First tries go before retries, but leave them a quarter
-- of the room. Where the room is less than four, as on an endpoint with a rate limit, the quarters add up
-- from one step to the next. They wait at one or two `places`; at one, retries are looked for only where no first try is
-- due.
local function leave(tag, q, now, want, places)
  local first = places == 1 and call('ZRANGEBYSCORE', key(tag, 'due'), '-inf', now, 'LIMIT', 0, want)
  local retries = {}
  if not first or #first == 0 then
    retries = call('ZRANGEBYSCORE', key(tag, 'again'), '-inf', now, 'LIMIT', 0, want)
  end
  local share = 0
  if #retries > 0 then
    local quarters = tonumber(call('HGET', q, 'quarters') or '0') + want
    share = math.floor(quarters / 4)
    call('HSET', q, 'quarters', quarters - 4 * share)
  end
  local going = first
    or call('ZRANGEBYSCORE', key(tag, 'due'), '-inf', now, 'LIMIT', 0, want - math.min(#retries, share))
  if #going > 0 then call('ZREM', key(tag, 'due'), unpack(going)) end
  local rest = {}
  while #rest < #retries and #going + #rest < want do rest[#rest + 1] = retries[#rest + 1] end
  if #rest > 0 then call('ZREM', key(tag, 'again'), unpack(rest)) end
  for _, did in ipairs(rest) do going[#going + 1] = did end
  return going
end

-- The one that asks an endpoint behind an open breaker how it is: the oldest, or who stands at `turn`.
local function probe(tag, turn)
  local size = call('ZCARD', key(tag, 'due'))
  local at = size > 0 and turn % size or 0
  local did = call('ZRANGE', key(tag, size > 0 and 'due' or 'again'), at, at)[1]
  if did then displace(tag, did) end
  return { did }
end

-- The text that has a name in a delivery as it is kept. Within a text a quote has a backslash before it, so that what is
-- found is a name; a text that has one itself is not told.
local function text_of(meta, name)
  local _, before = string.find(meta, '"' .. name .. '":"', 1, true)
  local after = before and string.find(meta, '"', before + 1, true)
  local found = after and string.sub(meta, before + 1, after - 1)
  return found and not string.find(found, '\\', 1, true) and found or nil
end

-- Of one call's bodies only so many bytes are told: many large ones at once would hold up everybody else.
local left_to_tell = 4 * 1024 * 1024

local function body_of(meta, sequence)
  local transfer, audience = text_of(meta, 'transfer_key'), text_of(meta, 'audience')
  if left_to_tell <= 0 or not (transfer and audience) then return false end
  local body = call('HGET', key('t:' .. transfer), 'b:' .. sequence .. ':' .. audience) or ''
  left_to_tell = left_to_tell - #body
  return body
end

-- The pass ends. Where its hint is not as it was, somebody made the recipient due since, or has taken it and was told
-- to come back when this lease is over: which it is now.
local function give_back(hint, taken_at, tag, due)
  local hints, member = key(hint, 'at'), string.sub(tag, 3)
  local score = call('ZSCORE', hints, member)
  if not score or tonumber(score) ~= tonumber(taken_at) then
    if due ~= '' then call('ZADD', hints, 'LT', due, member) end
    return
  end
  if due == '' then call('ZREM', hints, member) else call('ZADD', hints, due, member) end
end

local function operation(tag, a)
  local q = key(tag, 'q')
  local token, now = a[1], tonumber(a[2])
  local known = call('HMGET', q, 'token', 'until', 'held', 'hold', 'rate', 'tat', 'fs', 'breaker', 'incident', 'probe', 'turn', 'cap')
  local fly = key(tag, 'fly')
  if known[1] ~= token then
    if known[1] and tonumber(known[2]) > now then return { 'busy', known[2] } end
    if #a > 11 or tonumber(a[5]) > 0 then return { 'lost' } end
    for _, did in ipairs(call('HKEYS', fly)) do
      -- The pass that had it is dead. Its time has come already, so it waits as it did.
      local lane = call('HGET', key(tag, 'd:' .. did), 'l')
      call('HDEL', fly, did)
      if lane and lane ~= '' then call('HDEL', key(tag, 'busy'), lane) end
      if lane then enter(tag, did, lane) end
    end
  end
  local rate, hold = known[5] or '0', known[4] or '0'
  if a[7] ~= '' then
    hold = a[7]
    call('HSET', q, 'hold', hold)
  end
  if a[6] ~= '' and a[6] ~= rate then
    rate = a[6]
    call('HSET', q, 'rate', rate)
  end
  local good, bad = false, false
  record_all(tag, now, a)
  for i = 12, #a, 8 do
    if a[i + 1] == 'd' then good = true end
    if a[i + 4] ~= '' and (a[i + 1] == 'r' or a[i + 1] == 'p' or a[i + 1] == 'x') then bad = true end
  end
  local failing = known[7] or ''
  if good and failing ~= '' then
    call('HDEL', q, 'fs', 'warned')
    failing = ''
  elseif bad and not good and failing == '' then
    failing = string.format('%.0f', now)
    call('HSET', q, 'fs', failing)
  end
  local breaker, probe_at, turn, cap = known[8], tonumber(known[10]), tonumber(known[11]), tonumber(known[12])
  if a[8] ~= '' then
    breaker = a[8] ~= '-' and a[8] or ''
    -- From the oldest on: while it is open, and in the ramp after it.
    if set_breaker(q, breaker) or probe_at then gather(tag) end
    local set = call('HMGET', q, 'probe', 'turn', 'cap')
    probe_at, turn, cap = tonumber(set[1]), tonumber(set[2]), tonumber(set[3])
  end

  local reply = { 'ok', failing, '-', breaker or '', known[9] or '', '', '' }
  local want = tonumber(a[4])
  if probe_at then want = now >= probe_at and a[5] == '0' and math.min(want, 1) or 0 end
  if cap then want = math.max(0, math.min(want, cap - tonumber(a[5]))) end
  if known[3] == '1' or tonumber(hold) > now then want = 0 end
  local room, base, gap, slack = allowed(tonumber(rate), tonumber(known[6] or '0'), now)
  want = math.min(want, room)
  local flying, lanes = {}, {}
  local places = call('EXISTS', key(tag, 'due'), key(tag, 'again'))
  local waits = places > 0
  local going = waits and want > 0 and (probe_at and probe(tag, turn) or leave(tag, q, now, want, places)) or {}
  for _, did in ipairs(going) do
    local d = call('HMGET', key(tag, 'd:' .. did), 'm', 'n', 'x', 'base', 'l', 't', 'q')
    if probe_at and tonumber(d[6] or '0') > now then reply[6] = '1' end
    if d[1] then
      flying[#flying + 1] = did
      flying[#flying + 1] = now
      if d[5] ~= '' then
        lanes[#lanes + 1] = d[5]
        lanes[#lanes + 1] = did
      end
      reply[#reply + 1] = did
      reply[#reply + 1] = d[1]
      reply[#reply + 1] = d[2]
      reply[#reply + 1] = d[3]
      reply[#reply + 1] = d[4] or '0'
      reply[#reply + 1] = d[5]
      reply[#reply + 1] = a[11] == '1' and body_of(d[1], d[7])
      if a[11] == '1' and reply[7] == '' then
        local partner = text_of(d[1], 'partner')
        if partner then reply[7] = call('GET', key('p:' .. partner, 'v')) or '0' end
      end
    end
  end
  local taken = #flying / 2
  if taken > 0 then
    call('HSET', fly, unpack(flying))
    if #lanes > 0 then call('HSET', key(tag, 'busy'), unpack(lanes)) end
    if gap > 0 then call('HSET', q, 'tat', base + taken * gap) end
  end
  if taken == 0 and tonumber(a[5]) == 0 then
    call('HDEL', q, 'token', 'until')
    local due = waits and next_due(tag) or ''
    -- What was waiting is through, and with it the ramp.
    if due == '' and cap then set_breaker(q, '') end
    if due ~= '' and gap > 0 and room < 1 then
      due = string.format('%.0f', math.ceil(math.max(tonumber(due), base - slack)))
    end
    reply[3] = due
    if a[9] ~= '' then give_back(a[9], a[10], tag, due) end
  else
    call('HSET', q, 'token', token, 'until', now + tonumber(a[3]))
  end
  return reply
end
