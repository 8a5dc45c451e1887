-- An event's chain is gone through once more, unless its records are gone. tag t:<transfer> · inbox member,
-- sequence -> 1 when it is
local function operation(tag, a)
  local t = key(tag)
  if call('HEXISTS', t, 'i:' .. a[2]) == 0 or call('HEXISTS', t, 'g:' .. a[2]) == 1 then return 0 end
  return call('ZADD', key(tag, 'in'), 'NX', a[2], a[1])
end
