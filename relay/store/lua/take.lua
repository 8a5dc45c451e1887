-- Due members of a hint are taken: nobody else sees them before `until`, unless something new makes
-- them due. tag · now, until, most -> members
local function operation(tag, a)
  local k = key(tag, 'at')
  local due = call('ZRANGEBYSCORE', k, '-inf', a[1], 'LIMIT', 0, a[3])
  local taken = {}
  for n, member in ipairs(due) do
    taken[2 * n - 1] = a[2]
    taken[2 * n] = member
  end
  many('ZADD', k, taken)
  return due
end
