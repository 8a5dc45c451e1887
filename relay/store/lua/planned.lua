-- The plan of one event is carried out: the inbox forgets it.
-- tag t:<transfer> · inbox member -> how many are left
local function operation(tag, a)
  call('ZREM', key(tag, 'in'), a[1])
  return call('ZCARD', key(tag, 'in'))
end
