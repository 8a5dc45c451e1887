-- A transfer leaves, if it still is as it was looked at. tag t:<transfer> · version
-- -> 1 it is gone · 0 it has moved since
local function operation(tag, a)
  local t = key(tag)
  local version = call('HGET', t, 'v')
  if not version then return 1 end
  if version ~= a[1] or call('ZCARD', key(tag, 'in')) > 0 then return 0 end
  call('DEL', t, key(tag, 'in'))
  return 1
end
