-- Shared by the scripts of a recipient's queue.
-- Keys of a recipient: q (hash: lease, holds, health), due and again (sorted sets: first tries and
-- retries that wait, by time), fly (hash: in flight), busy (hash: lane to its delivery in flight),
-- lane:<transfer> (sorted set: pending deliveries of one transfer by sequence; only its head may wait or
-- fly), all (sorted set: every delivery by creation),
-- d:<delivery> (hash: m meta, l lane, q sequence, s status, n attempts, t next time, z settled, w reason,
-- x sealed message, a<n> attempts).

-- The head of a lane waits for its time; what stands behind it does not. While one of the lane is in
-- flight, nothing of it waits: what is in flight need not be the head, when lower ones were reopened.
local function focus(tag, lane, now)
  local heads = call('ZRANGE', key(tag, 'lane:' .. lane), 0, 1)
  local head, second = heads[1], heads[2]
  if not head then return end
  if second then
    call('ZREM', key(tag, 'due'), second)
    call('ZREM', key(tag, 'again'), second)
  end
  if call('HEXISTS', key(tag, 'busy'), lane) == 1 then return end
  local d = call('HMGET', key(tag, 'd:' .. head), 't', 'n')
  local at = math.max(tonumber(d[1] or '0'), tonumber(now))
  call('ZADD', key(tag, (d[2] or '0') == '0' and 'due' or 'again'), at, head)
end

-- One delivery is in flight no longer.
local function land(tag, did, lane)
  call('HDEL', key(tag, 'fly'), did)
  if lane and lane ~= '' then call('HDEL', key(tag, 'busy'), lane) end
end

-- One delivery waits until `at`, in its lane if it has one.
local function await(tag, did, lane, at, attempts, now)
  call('HSET', key(tag, 'd:' .. did), 't', at)
  if lane ~= '' then return focus(tag, lane, now) end
  call('ZADD', key(tag, attempts == '0' and 'due' or 'again'), at, did)
end

-- When the recipient next has something to do; '' when not before somebody acts.
local function next_due(tag)
  local q = call('HMGET', key(tag, 'q'), 'held', 'hold')
  if q[1] == '1' then return '' end
  local first
  for _, name in ipairs({ 'due', 'again' }) do
    local head = call('ZRANGE', key(tag, name), 0, 0, 'WITHSCORES')
    if head[2] and (not first or tonumber(head[2]) < first) then first = tonumber(head[2]) end
  end
  if not first then return '' end
  return string.format('%.0f', math.max(first, tonumber(q[2] or '0')))
end
