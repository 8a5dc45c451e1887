-- How a delivery stands. tag · rest of the key's name -> status, reason; false where there is none
local function operation(tag, a)
  return call('HMGET', key(tag, a[1]), 's', 'w')
end
