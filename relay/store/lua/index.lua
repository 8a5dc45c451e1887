-- Members of a sorted set. tag · rest of the key's name, flag (LT, GT, NX or ''), then score, member …
local function operation(tag, a)
  local k = key(tag, a[1])
  for i = 3, #a, 2 do
    if a[2] == '' then call('ZADD', k, a[i], a[i + 1]) else call('ZADD', k, a[2], a[i], a[i + 1]) end
  end
  return 1
end
