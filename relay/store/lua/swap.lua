-- swap
-- Replaces one field of a hash, if it still is what the caller read.
-- a: the rest of the key's name ('' for none), field, what was read ('' for none), what it becomes -> 1 when it is that now, else 0
local function operation(tag, a)
  local k = a[1] ~= '' and key(tag, a[1]) or key(tag)
  local now = call('HGET', k, a[2]) or ''
  if now == a[4] then return 1 end
  if now ~= a[3] then return 0 end
  call('HSET', k, a[2], a[4])
  return 1
end
