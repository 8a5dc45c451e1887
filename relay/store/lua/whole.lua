-- All fields of one hash. tag · rest of the key's name ('' = none) -> field, value, …
local function operation(tag, a)
  if a[1] == '' then return call('HGETALL', key(tag)) end
  return call('HGETALL', key(tag, a[1]))
end
