-- A partner's activity log, pull feed and list of transfers grow by one event, once.
-- tag p:<partner> · record id, record ('' none), feed member ('' none), transfer ('' none), transfer score
local function operation(tag, a)
  local is_new
  if a[2] ~= '' then
    is_new = call('HSETNX', key(tag, 'records'), a[1], a[2]) == 1
  else
    is_new = a[3] ~= '' and not call('ZSCORE', key(tag, 'feed'), a[3])
  end
  if is_new then
    local at = call('HINCRBY', key(tag, 'ends'), 'at', 1)
    if a[2] ~= '' then call('ZADD', key(tag, 'activity'), at, a[1]) end
    if a[3] ~= '' then call('ZADD', key(tag, 'feed'), at, a[3]) end
  end
  if a[4] ~= '' then call('ZADD', key(tag, 'transfers'), 'GT', a[5], a[4]) end
  return 1
end
