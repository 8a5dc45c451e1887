-- The plan of one event is fixed by whoever comes first; what each audience is shown is stored with it.
-- tag t:<transfer> · inbox member, plan, alone (1: the chain that this is part of stops when there was another
--   plan), then sequence:audience and body … -> '' when this plan is stored, '=' when it was there, else the other that was
local function operation(tag, a)
  local t = key(tag)
  local name = 'p:' .. a[1]
  if call('HEXISTS', t, name) == 1 then
    local first = call('HGET', t, name)
    if first == a[2] then return '=' end
    return a[3] == '1' and stop or first
  end
  -- All of it by one command: a plan is not there without what it shows.
  local fields = { name, a[2] }
  for i = 4, #a, 2 do
    fields[i - 1] = 'b:' .. a[i]
    fields[i] = a[i + 1]
  end
  call('HSET', t, unpack(fields))
  return ''
end
