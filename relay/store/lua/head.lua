-- The next head of an activity log's chain, if as many were made ever as the caller counted.
-- tag p:<partner> · how many, the head -> 1, also when the same head is there already; else 0
local function operation(tag, a)
  local k = key(tag, 'heads')
  local taken = tonumber(call('HGET', key(tag, 'ends'), 'taken') or '0')
  local known = taken + call('LLEN', k)
  if known == tonumber(a[1]) then
    call('RPUSH', k, a[2])
    return 1
  end
  return tonumber(a[1]) >= taken and call('LINDEX', k, a[1] - taken) == a[2] and 1 or 0
end
