-- Members of a hint are due at a time, or earlier than they were. One that is taken until before that time is no
-- longer its taker's to give back: when its queue was looked at, this was not there. A taken one's score has a fraction.
-- tag · then for each: time, member
local function operation(tag, a)
  local k = key(tag, 'at')
  many('ZADD', k, a, 'LT')
  local members = {}
  for i = 2, #a, 2 do members[#members + 1] = a[i] end
  for n, score in ipairs(gathered('ZMSCORE', k, members)) do
    local sooner = math.floor(tonumber(score))
    if tonumber(score) ~= sooner then call('ZADD', k, string.format('%.0f', sooner), members[n]) end
  end
  return 1
end
