-- The plan of one event is fixed by whoever comes first; what each audience is shown is stored with it.
-- tag t:<transfer> · inbox member, plan, then sequence:audience and body …
-- -> '' when this plan holds, else the one that was there
local function operation(tag, a)
  local t = key(tag)
  if call('HSETNX', t, 'p:' .. a[1], a[2]) == 0 then return call('HGET', t, 'p:' .. a[1]) end
  local bodies = {}
  for i = 3, #a, 2 do
    bodies[i - 2] = 'b:' .. a[i]
    bodies[i - 1] = a[i + 1]
  end
  if #bodies > 0 then call('HSET', t, unpack(bodies)) end
  return ''
end
