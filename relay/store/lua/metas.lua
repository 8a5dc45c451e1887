-- What some deliveries are about. tag r:<recipient> · delivery id … -> meta, false where absent
local function operation(tag, a)
  local metas = {}
  for n, did in ipairs(a) do metas[n] = call('HGET', key(tag, 'd:' .. did), 'm') end
  return metas
end
