-- What a transfer has accepted and not yet planned, oldest first.
-- tag t:<transfer> · most
-- -> { standing, false where there is nothing to plan, then for each: member, timeline entry, event body, plan or false }
-- A member is a sequence, or `<sequence>~<audience>` where one audience is to be told afterwards, or
-- `<sequence>~<audience>~<channel>` where it has got a channel only after that.
local function operation(tag, a)
  local t = key(tag)
  local found = { false }
  for _, member in ipairs(call('ZRANGE', key(tag, 'in'), 0, tonumber(a[1]) - 1)) do
    local seq = string.match(member, '^%d+')
    local parts = call('HMGET', t, 's', 'i:' .. seq, 'x:' .. seq, 'p:' .. member)
    found[1] = parts[1]
    found[#found + 1] = member
    found[#found + 1] = parts[2]
    found[#found + 1] = parts[3]
    found[#found + 1] = parts[4]
  end
  return found
end
