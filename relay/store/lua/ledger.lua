-- A partner's activity log, pull feed and list of transfers grow, each event once.
-- tag p:<partner> · for each: record id, record ('' none), feed member ('' none), transfer ('' none), transfer score
local function operation(tag, a)
  local new = {}
  for i = 1, #a, 5 do
    local is_new
    if a[i + 1] ~= '' then
      is_new = call('HSETNX', key(tag, 'records'), a[i], a[i + 1]) == 1
    else
      is_new = a[i + 2] ~= '' and not call('ZSCORE', key(tag, 'feed'), a[i + 2])
    end
    if is_new then new[#new + 1] = i end
  end
  local activity, feed, transfers = {}, {}, {}
  if #new > 0 then
    local at = call('HINCRBY', key(tag, 'ends'), 'at', #new) - #new
    for n, i in ipairs(new) do
      if a[i + 1] ~= '' then
        activity[#activity + 1] = at + n
        activity[#activity + 1] = a[i]
      end
      if a[i + 2] ~= '' then
        feed[#feed + 1] = at + n
        feed[#feed + 1] = a[i + 2]
      end
    end
  end
  for i = 1, #a, 5 do
    if a[i + 3] ~= '' then
      transfers[#transfers + 1] = a[i + 4]
      transfers[#transfers + 1] = a[i + 3]
    end
  end
  many('ZADD', key(tag, 'activity'), activity)
  many('ZADD', key(tag, 'feed'), feed)
  many('ZADD', key(tag, 'transfers'), transfers, 'GT')
  return #new
end
