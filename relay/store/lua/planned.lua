-- The plan of one event is carried out: the inbox forgets it.
-- tag t:<transfer> · inbox member -> whether it was there
local function operation(tag, a)
  return call('ZREM', key(tag, 'in'), a[1])
end
