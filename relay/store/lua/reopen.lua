-- A settled delivery is opened again, with its whole schedule before it. A pending one is made due now.
-- tag r:<recipient> · delivery id, now, mark ('' none): with the mark of the last time nothing is done, and the
-- answer is the same -> { 'absent' | 'gone' (what it carried has left) | 'reopened' | 'pending', next due or '' }
--@queue
local function operation(tag, a)
  local d = key(tag, 'd:' .. a[1])
  local known = call('HMGET', d, 's', 'l', 'q', 'n', 'once', 'y')
  if not known[1] then return { 'absent', '' } end
  if known[6] then return { 'gone', '' } end
  local was = known[1] == 'p' and 'pending' or 'reopened'
  if a[3] ~= '' then
    local mark, before = string.match(known[5] or '', '^(.*) (%a+)$')
    if mark == a[3] then return { before, next_due(tag) } end
    call('HSET', d, 'once', a[3] .. ' ' .. was)
  end
  if call('HEXISTS', key(tag, 'fly'), a[1]) == 1 then return { 'pending', '' } end
  if was == 'reopened' then
    -- Attempts stay in the record; the schedule begins again after them.
    call('HSET', d, 's', 'p', 'base', known[4])
    call('HDEL', d, 'z', 'w')
    if known[2] ~= '' then call('ZADD', key(tag, 'lane:' .. known[2]), known[3], a[1]) end
  end
  displace(tag, a[1])
  await(tag, a[1], known[2], a[2])
  return { was, next_due(tag) }
end
