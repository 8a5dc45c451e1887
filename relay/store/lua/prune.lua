-- The oldest lines of an activity log leave, those under its first head with it; the head stays as where the rest
-- begins, signed as taken. Where nothing is chained there is no head.
-- tag p:<partner> · number of the head (0 none), last position, what is kept of it -> how many lines left
local function operation(tag, a)
  local heads = key(tag, 'heads')
  if a[1] == '0' then
    if call('LLEN', heads) > 0 then return 0 end
  else
    local readable, first = pcall(cjson.decode, call('LINDEX', heads, 0) or '')
    if call('LLEN', heads) < 2 or not readable or tostring(first.number) ~= a[1] then return 0 end
    call('LPOP', heads)
    call('HSET', key(tag, 'ends'), 'taken', a[1], 'taking', a[3])
  end
  local ids = call('ZRANGEBYSCORE', key(tag, 'activity'), '-inf', a[2])
  many('HDEL', key(tag, 'records'), ids)
  return call('ZREMRANGEBYSCORE', key(tag, 'activity'), '-inf', a[2])
end
