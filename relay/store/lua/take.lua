-- Due members of a hint are taken: nobody else sees them before `until`, unless something new makes
-- them due. tag · now, until, most -> members
local function operation(tag, a)
  local k = key(tag, 'at')
  local due = call('ZRANGEBYSCORE', k, '-inf', a[1], 'LIMIT', 0, a[3])
  for _, member in ipairs(due) do call('ZADD', k, a[2], member) end
  return due
end
