-- Fields leave a transfer's hash, and where the records of an event's deliveries are to leave, it says so first.
-- tag t:<transfer> · how many marks, mark …, field … -> how many left; 0 too when there is no such transfer
local function operation(tag, a)
  local t = key(tag)
  local marks = tonumber(a[1])
  if call('HEXISTS', t, 'v') == 1 then
    for i = 2, marks + 1 do call('HSET', t, a[i], '1') end
  end
  local left = 0
  for i = marks + 2, #a do left = left + call('HDEL', t, a[i]) end
  return left
end
