-- The frame of every script: reads the operations one by one, calls `operation(tag, a)` with the
-- operation's hash tag and its other arguments, and replies with one entry an operation.
local prefix = ARGV[1]
local call = redis.call

local function key(tag, rest)
  if rest then return prefix .. ':{' .. tag .. '}:' .. rest end
  return prefix .. ':{' .. tag .. '}'
end

--@operation

local replies = {}
local at = 2
while at <= #ARGV do
  local n = tonumber(ARGV[at])
  local a = {}
  for i = 2, n do a[i - 1] = ARGV[at + i] end
  replies[#replies + 1] = operation(ARGV[at + 1], a)
  at = at + n + 1
end
return replies
