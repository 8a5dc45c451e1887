-- Records of a partner's activity log. tag p:<partner> · record id … -> records, false where absent
local function operation(tag, a)
  return call('HMGET', key(tag, 'records'), unpack(a))
end
