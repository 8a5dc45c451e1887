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

-- The replies of one command about many members, a thousand at a time, as one list.
local function gathered(command, k, members)
  local found = {}
  for at = 1, #members, 1000 do
    for _, reply in ipairs(call(command, k, unpack(members, at, math.min(at + 999, #members)))) do
      found[#found + 1] = reply
    end
  end
  return found
end

-- The sum of what one command counts among many keys, a thousand at a time.
local function counted(command, keys)
  local sum = 0
  for at = 1, #keys, 1000 do sum = sum + call(command, unpack(keys, at, math.min(at + 999, #keys))) end
  return sum
end

-- What an operation answers to end a chain: nothing more of it is done.
local stop = {}

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
