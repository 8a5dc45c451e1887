-- The plan of one event is fixed by whoever comes first; what each audience is shown is stored with it.
-- tag t:<transfer> · inbox member, plan, then sequence:audience and body …
-- -> '' when this plan holds, else the one that was there
local function operation(tag, a)
  local t = key(tag)
  if call('HSETNX', t, 'p:' .. a[1], a[2]) == 0 then return call('HGET', t, 'p:' .. a[1]) end
  for i = 3, #a, 2 do call('HSETNX', t, 'b:' .. a[i], a[i + 1]) end
  return ''
end
