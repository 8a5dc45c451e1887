-- An event id belongs to the first body that named it.
-- tag e:<event id> · fingerprint -> the fingerprint that owns the id
local function operation(tag, a)
  local k = key(tag)
  if call('SET', k, a[1], 'NX') then return a[1] end
  return call('GET', k)
end
