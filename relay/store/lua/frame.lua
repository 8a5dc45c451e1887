-- The frame of every script: reads the operations one by one, calls `operation(tag, a)` with the
-- operation's hash tag and its other arguments, and replies with one entry an operation.
local prefix = ARGV[1]
local call = redis.call

local function key(tag, rest)
  if rest then return prefix .. ':{' .. tag .. '}:' .. rest end
  return prefix .. ':{' .. tag .. '}'
end

-- One command with many values, a thousand at a time: a call from a script costs more than what most
-- commands do, and Lua's stack is limited.
local function many(command, k, values, flag)
  for at = 1, #values, 1000 do
    local last = math.min(at + 999, #values)
    if flag and flag ~= '' then call(command, k, flag, unpack(values, at, last))
    else call(command, k, unpack(values, at, last)) end
  end
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
