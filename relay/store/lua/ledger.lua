-- A partner's activity log, pull feed and list of transfers grow by one event, once.
-- tag p:<partner> · record id, record ('' none), feed member ('' none), transfer ('' none), transfer score
local function operation(tag, a)
  if a[2] ~= '' and call('HSETNX', key(tag, 'records'), a[1], a[2]) == 1 then
    call('ZADD', key(tag, 'activity'), call('HINCRBY', key(tag, 'ends'), 'activity', 1), a[1])
  end
  if a[3] ~= '' and not call('ZSCORE', key(tag, 'feed'), a[3]) then
    call('ZADD', key(tag, 'feed'), call('HINCRBY', key(tag, 'ends'), 'feed', 1), a[3])
  end
  if a[4] ~= '' then call('ZADD', key(tag, 'transfers'), 'GT', a[5], a[4]) end
  return 1
end
