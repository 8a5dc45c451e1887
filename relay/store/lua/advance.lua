-- One pass over a recipient's queue: its results are recorded and the next due deliveries taken, under a
-- lease. A pass that lost its lease records nothing.
-- tag r:<recipient> · token, now, lease ms, want, still in flight,
--   requests a minute ('' as it was, 0 no limit), hold until ('' unchanged), then for each result: delivery, verdict, next time, reason, attempt, sealed message
--   verdicts: d delivered · x exhausted · c canceled · r try again · b back without an attempt ·
--             m keep the sealed message and stay in flight
-- -> { 'busy', lease until } · { 'lost' } ·
--    { 'ok', failing since or '', next due or '' (released) or '-' (lease kept), then for each delivery:
--      id, meta, attempts made, sealed message or false, attempts made before it was reopened }
--@queue

local function record(tag, now, did, verdict, at, reason, attempt, sealed)
  local fly = key(tag, 'fly')
  if call('HEXISTS', fly, did) == 0 then return end
  local d = key(tag, 'd:' .. did)
  if verdict == 'm' then return call('HSET', d, 'x', sealed) end
  local lane = call('HGET', d, 'l')
  land(tag, did, lane)
  if attempt ~= '' then call('HSET', d, 'a' .. call('HINCRBY', d, 'n', 1), attempt) end
  if verdict == 'r' or verdict == 'b' then
    return await(tag, did, lane, at, call('HGET', d, 'n'), now)
  end
  call('HSET', d, 's', verdict, 'z', now, 'w', reason)
  call('HDEL', d, 't', 'x')
  if lane ~= '' then
    call('ZREM', key(tag, 'lane:' .. lane), did)
    focus(tag, lane, now)
  end
end

-- How many may go now, the time from which the next are counted, the gap between two, and how far ahead
-- of it they may be: a second's worth (the generic cell rate algorithm).
local function allowed(q, now)
  local r = call('HMGET', q, 'rate', 'tat')
  local rate = tonumber(r[1] or '0')
  if rate == 0 then return math.huge, now, 0, 0 end
  local gap = 60000 / rate
  local base = math.max(tonumber(r[2] or '0'), now)
  local slack = gap * (math.max(1, math.floor(rate / 60)) - 1)
  return math.floor((now + slack - base) / gap) + 1, base, gap, slack
end

local function operation(tag, a)
  local q = key(tag, 'q')
  local token, now = a[1], tonumber(a[2])
  local lease = call('HMGET', q, 'token', 'until')
  local fly = key(tag, 'fly')
  if lease[1] ~= token then
    if lease[1] and tonumber(lease[2]) > now then return { 'busy', lease[2] } end
    if #a > 7 or tonumber(a[5]) > 0 then return { 'lost' } end
    for _, did in ipairs(call('HKEYS', fly)) do
      local d = call('HMGET', key(tag, 'd:' .. did), 'l', 'n')
      land(tag, did, d[1])
      if d[1] then await(tag, did, d[1], now, d[2], now) end
    end
  end
  if a[7] ~= '' then call('HSET', q, 'hold', a[7]) end
  if a[6] == '0' then call('HDEL', q, 'rate') elseif a[6] ~= '' then call('HSET', q, 'rate', a[6]) end
  local good, bad = false, false
  for i = 8, #a, 6 do
    record(tag, now, a[i], a[i + 1], a[i + 2], a[i + 3], a[i + 4], a[i + 5])
    if a[i + 1] == 'd' then good = true end
    if a[i + 4] ~= '' and (a[i + 1] == 'r' or a[i + 1] == 'x') then bad = true end
  end
  if good then call('HDEL', q, 'fs', 'warned') end
  if bad and not good then call('HSETNX', q, 'fs', now) end

  local reply = { 'ok', call('HGET', q, 'fs') or '', '-' }
  local state = call('HMGET', q, 'held', 'hold')
  local want = tonumber(a[4])
  if state[1] == '1' or tonumber(state[2] or '0') > now then want = 0 end
  local room, base, gap, slack = allowed(q, now)
  want = math.min(want, room)
  local taken = 0
  if want > 0 then
    -- First tries go before retries, but leave them a quarter of the room. Where the room is less than
    -- four, as on an endpoint with a rate limit, the quarters add up from one step to the next.
    local retries = call('ZRANGEBYSCORE', key(tag, 'again'), '-inf', now, 'LIMIT', 0, want)
    local share = 0
    if #retries > 0 then
      local quarters = tonumber(call('HGET', q, 'quarters') or '0') + want
      share = math.floor(quarters / 4)
      call('HSET', q, 'quarters', quarters - 4 * share)
    end
    local firsts = call('ZRANGEBYSCORE', key(tag, 'due'), '-inf', now, 'LIMIT', 0, want - math.min(#retries, share))
    for _, lot in ipairs({ { 'due', firsts }, { 'again', retries } }) do
      for _, did in ipairs(lot[2]) do
        if taken < want then
          local d = call('HMGET', key(tag, 'd:' .. did), 'm', 'n', 'x', 'base', 'l')
          call('ZREM', key(tag, lot[1]), did)
          if d[1] then
            call('HSET', fly, did, now)
            if d[5] ~= '' then call('HSET', key(tag, 'busy'), d[5], did) end
            taken = taken + 1
            reply[#reply + 1] = did
            reply[#reply + 1] = d[1]
            reply[#reply + 1] = d[2]
            reply[#reply + 1] = d[3]
            reply[#reply + 1] = d[4] or '0'
          end
        end
      end
    end
  end
  if gap > 0 and taken > 0 then call('HSET', q, 'tat', base + taken * gap) end
  if taken == 0 and tonumber(a[5]) == 0 then
    call('HDEL', q, 'token', 'until')
    local due = next_due(tag)
    if due ~= '' and gap > 0 and room < 1 then
      due = string.format('%.0f', math.ceil(math.max(tonumber(due), base - slack)))
    end
    reply[3] = due
  else
    call('HSET', q, 'token', token, 'until', now + tonumber(a[3]))
  end
  return reply
end
