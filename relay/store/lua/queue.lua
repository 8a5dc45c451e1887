-- Shared by the scripts of a recipient's queue.
-- Keys of a recipient: q (hash: lease, holds, health, and of a breaker that is not closed `breaker`, the
-- whole, and what the scripts go by: `probe` time and `turn` of an open one, `cap` of a ramping one), due and again (sorted sets: first tries and
-- retries that wait, by time), fly (hash: in flight), busy (hash: lane to its delivery in flight),
-- lane:<transfer> (sorted set: pending deliveries of one transfer by sequence; only its head may wait or
-- fly), all (sorted set: every delivery by creation),
-- d:<delivery> (hash: m meta, l lane, q sequence, s status, n attempts, t next time, k gathered, z settled,
-- w reason, x sealed message, a<n> attempts).

-- One delivery waits where its own record says, and there only: retries by their time in `again`, first
-- tries in `due`, and what was gathered among those, at its creation.
local function place(tag, did)
  local d = call('HMGET', key(tag, 'd:' .. did), 't', 'n', 'k')
  if d[3] == '1' then
    call('ZADD', key(tag, 'due'), call('ZSCORE', key(tag, 'all'), did) or d[1], did)
  else
    call('ZADD', key(tag, (d[2] or '0') == '0' and 'due' or 'again'), d[1] or '0', did)
  end
end

local function displace(tag, did)
  call('ZREM', key(tag, 'due'), did)
  call('ZREM', key(tag, 'again'), did)
end

-- The head of a lane waits for its time; what stands behind it does not. While one of the lane is in
-- flight, nothing of it waits: what is in flight need not be the head, when lower ones were reopened.
local function focus(tag, lane)
  local heads = call('ZRANGE', key(tag, 'lane:' .. lane), 0, 1)
  if not heads[1] then return end
  if heads[2] then displace(tag, heads[2]) end
  if call('HEXISTS', key(tag, 'busy'), lane) == 0 then place(tag, heads[1]) end
end

-- One delivery that is not in flight waits, in its lane if it has one.
local function enter(tag, did, lane)
  if lane ~= '' then focus(tag, lane) else place(tag, did) end
end

-- It waits until `at`, wherever it waited before.
local function await(tag, did, lane, at)
  call('HSET', key(tag, 'd:' .. did), 't', at, 'k', '')
  enter(tag, did, lane)
end

-- All that waits to be tried again stands among the first tries from now on, in the order in which it was
-- planned: what was tried before an outage goes in its place after it.
local function gather(tag)
  while true do
    local again = call('ZRANGE', key(tag, 'again'), 0, 999)
    if #again == 0 then return end
    local due = {}
    for n, created in ipairs(call('ZMSCORE', key(tag, 'all'), unpack(again))) do
      local d = key(tag, 'd:' .. again[n])
      call('HSET', d, 'k', '1')
      due[2 * n - 1] = created or call('HGET', d, 't') or '0'
      due[2 * n] = again[n]
    end
    call('ZREM', key(tag, 'again'), unpack(again))
    many('ZADD', key(tag, 'due'), due)
  end
end

-- The breaker as it was decided, '' for a closed one.
local function set_breaker(q, breaker)
  call('HDEL', q, 'breaker', 'probe', 'turn', 'cap')
  if breaker == '' then return false end
  local is = cjson.decode(breaker)
  local set = { 'breaker', breaker }
  if is.probe_at_ms then set = { 'breaker', breaker, 'probe', string.format('%.0f', is.probe_at_ms), 'turn', is.turn or 0 } end
  if is.window then set = { 'breaker', breaker, 'cap', is.window } end
  call('HSET', q, unpack(set))
  return is.probe_at_ms ~= nil
end

-- When the recipient next has something to do; '' when not before somebody acts.
local function next_due(tag)
  local q = call('HMGET', key(tag, 'q'), 'held', 'hold', 'probe')
  if q[1] == '1' then return '' end
  local first
  for _, name in ipairs({ 'due', 'again' }) do
    local head = call('ZRANGE', key(tag, name), 0, 0, 'WITHSCORES')
    if head[2] and (not first or tonumber(head[2]) < first) then first = tonumber(head[2]) end
  end
  if not first then return '' end
  return string.format('%.0f', math.max(first, tonumber(q[2] or '0'), tonumber(q[3] or '0')))
end
