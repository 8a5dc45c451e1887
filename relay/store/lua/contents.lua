-- What is kept of a transfer: its version, its standing, how much waits to be planned, and its fields by name; of
-- bodies the name alone. Reads only. tag t:<transfer>
-- -> { version or false, standing or false, inbox size, name, value … }
local function operation(tag, a)
  local t = key(tag)
  local found = { call('HGET', t, 'v'), call('HGET', t, 's'), call('ZCARD', key(tag, 'in')) }
  local names, wanted = {}, {}
  for _, name in ipairs(call('HKEYS', t)) do
    local kind = string.sub(name, 1, 2)
    if kind == 'x:' or kind == 'b:' or kind == 'g:' then names[#names + 1] = name
    elseif kind == 'i:' or kind == 'p:' or kind == 'r:' then wanted[#wanted + 1] = name end
  end
  for _, name in ipairs(names) do
    found[#found + 1] = name
    found[#found + 1] = ''
  end
  for at = 1, #wanted, 500 do
    local some = { unpack(wanted, at, math.min(at + 499, #wanted)) }
    for n, value in ipairs(call('HMGET', t, unpack(some))) do
      found[#found + 1] = some[n]
      found[#found + 1] = value
    end
  end
  return found
end
