-- A partner's activity log, pull feed and list of transfers grow, each event once.
-- tag p:<partner> · for each: record id, record ('' none), feed member ('' none), transfer ('' none), transfer score

-- The same for one event, as is usual where there are many partners: lists of one cost more than what they hold.
local function add_one(tag, a)
  local new = call('HSETNX', key(tag, 'records'), a[1], a[2])
  if new == 1 then
    local at = call('HINCRBY', key(tag, 'ends'), 'at', 1)
    call('ZADD', key(tag, 'activity'), at, a[1])
    if a[3] ~= '' then call('ZADD', key(tag, 'feed'), at, a[3]) end
  end
  if a[4] ~= '' then call('ZADD', key(tag, 'transfers'), 'GT', a[5], a[4]) end
  return new
end

local function operation(tag, a)
  if #a == 5 and a[2] ~= '' then return add_one(tag, a) end
  local ids, fed = {}, {}
  for i = 1, #a, 5 do
    if a[i + 1] ~= '' then ids[#ids + 1] = a[i] elseif a[i + 2] ~= '' then fed[#fed + 1] = a[i + 2] end
  end
  local known = {}
  for n, has in ipairs(gathered('HMGET', key(tag, 'records'), ids)) do known[ids[n]] = has end
  for n, has in ipairs(gathered('ZMSCORE', key(tag, 'feed'), fed)) do known[fed[n]] = has end
  local new, records = {}, {}
  for i = 1, #a, 5 do
    local name = a[i + 1] ~= '' and a[i] or a[i + 2]
    if name ~= '' and not known[name] then
      known[name] = true
      new[#new + 1] = i
      if a[i + 1] ~= '' then
        records[#records + 1] = a[i]
        records[#records + 1] = a[i + 1]
      end
    end
  end
  many('HSET', key(tag, 'records'), records)
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
