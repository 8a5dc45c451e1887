-- One audience of a past event is to be told after all (it registered late), unless the transfer ended.
-- tag t:<transfer> · inbox member, sequence
local function operation(tag, a)
  if call('HEXISTS', key(tag), 'p:' .. a[1]) == 1 then return 0 end
  call('ZADD', key(tag, 'in'), a[2], a[1])
  return 1
end
