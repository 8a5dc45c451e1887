-- Several scripts in one call, each with its operations, in their order. An error in one ends the whole, which a
-- pipeline does not: what follows must not be done when what it follows from was not.
-- ARGV: the key prefix, then for each script its name, the number of its operations, and these as in every
-- script -> for each script its replies; nothing when an operation stopped the chain
--@steps

local replies = {}
local at = 2
while at <= #ARGV do
  local operation, left = steps[ARGV[at]], tonumber(ARGV[at + 1])
  local done = {}
  at = at + 2
  for _ = 1, left do
    local n = tonumber(ARGV[at])
    local a = {}
    for i = 2, n do a[i - 1] = ARGV[at + i] end
    local reply = operation(ARGV[at + 1], a)
    if reply == stop then return {} end
    done[#done + 1] = reply
    at = at + n + 1
  end
  replies[#replies + 1] = done
end
return replies
