-- The transfer of an event leaves: its id stays claimed for a while, and is nobody's then.
-- tag e:<event id> · milliseconds, 0 none -> 1
local function operation(tag, a)
  local k = key(tag)
  local owner = call('GET', k)
  if not owner then return 1 end
  if a[1] == '0' then return call('DEL', k) end
  if string.sub(owner, 1, 1) ~= '+' then call('SET', k, '+' .. owner, 'PX', a[1]) end
  return 1
end
