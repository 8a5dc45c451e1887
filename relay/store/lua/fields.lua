-- Some fields of a hash.
-- tag · field … -> their values, false where absent
local function operation(tag, a)
  return call('HMGET', key(tag), unpack(a))
end
