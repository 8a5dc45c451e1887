-- A job that one process does at a time, a step at a time. tag job:<name> · take, token, now, lease ms
-- -> false, or the state that the last one left ('' the first time)
-- tag job:<name> · keep, token, state, lease until -> 1, or 0 when another has taken the shift meanwhile
-- tag job:<name> · give, token, state, not before -> 1, or 0 when another has taken the shift meanwhile
local function operation(tag, a)
  local k = key(tag)
  local known = call('HMGET', k, 'token', 'until', 'next', 'state')
  if a[1] == 'take' then
    if tonumber(known[2] or '0') > tonumber(a[3]) or tonumber(known[3] or '0') > tonumber(a[3]) then return false end
    call('HSET', k, 'token', a[2], 'until', a[3] + a[4])
    return known[4] or ''
  end
  if known[1] ~= a[2] then return 0 end
  if a[1] == 'keep' then
    call('HSET', k, 'state', a[3], 'until', a[4])
    return 1
  end
  call('HSET', k, 'state', a[3], 'next', a[4], 'until', '0')
  return 1
end
