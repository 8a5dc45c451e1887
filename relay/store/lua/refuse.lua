-- A refused event is recorded on the transfer, the same one once, the first hundred of them.
-- tag t:<transfer> · event id, refusal
local function operation(tag, a)
  local t = key(tag)
  if tonumber(call('HGET', t, 'rn') or '0') >= 100 then return 0 end
  if call('HSETNX', t, 'r:' .. a[1], a[2]) == 1 then call('HINCRBY', t, 'rn', 1) end
  return 1
end
