-- head
-- The next head of an activity log's chain, if as many are there as the caller counted.
-- tag p:<partner> · how many, the head -> 1, also when the same head is there already; else 0
local function operation(tag, a)
  local k = key(tag, 'heads')
  local known = call('LLEN', k)
  if known == tonumber(a[1]) then
    call('RPUSH', k, a[2])
    return 1
  end
  return call('LINDEX', k, a[1]) == a[2] and 1 or 0
end
