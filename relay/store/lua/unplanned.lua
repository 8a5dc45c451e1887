-- Transfers that have something to plan are taken, and what that is with them. On one server only, because it touches
-- many tags.
-- tag due:plan:<shard> · now, until, most, events of each -> for each: transfer, and as lua/inbox.lua answers
--@use take
--@use inbox
local function operation(tag, a)
  local found = {}
  for _, member in ipairs(take(tag, a)) do
    found[#found + 1] = member
    found[#found + 1] = inbox('t:' .. member, { a[4] })
  end
  return found
end
