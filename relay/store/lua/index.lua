-- Members of a sorted set. tag · rest of the key's name, flag (LT, GT, NX or ''), then score, member …
local function operation(tag, a)
  local pairs_ = {}
  for i = 3, #a do pairs_[i - 2] = a[i] end
  many('ZADD', key(tag, a[1]), pairs_, a[2])
  return 1
end
