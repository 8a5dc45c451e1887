-- When members of a hint are to be looked at, whatever was said before. tag · flag ('' or NX), then for
-- each: member, time ('' not at all)
local function operation(tag, a)
  local gone, later = {}, {}
  for i = 2, #a, 2 do
    if a[i + 1] == '' then
      gone[#gone + 1] = a[i]
    else
      later[#later + 1] = a[i + 1]
      later[#later + 1] = a[i]
    end
  end
  many('ZREM', key(tag, 'at'), gone)
  many('ZADD', key(tag, 'at'), later, a[1])
  return #gone + #later / 2
end
