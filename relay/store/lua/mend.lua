-- What cannot be read of an inbox entry is put aside, and the entry settled. tag t:<transfer> · inbox member,
-- then for each field: name, what was read ('' nothing), what stands there instead ('' nothing)
-- -> 1, or 0 where something of it is not what was read
local function operation(tag, a)
  local t = key(tag)
  for i = 2, #a, 3 do
    if (call('HGET', t, a[i]) or '') ~= a[i + 1] then return 0 end
  end
  for i = 2, #a, 3 do
    if a[i + 1] ~= '' then call('HSET', t, 'u:' .. a[i], a[i + 1]) end
    if a[i + 2] ~= '' then call('HSET', t, a[i], a[i + 2]) else call('HDEL', t, a[i]) end
  end
  call('ZREM', key(tag, 'in'), a[1])
  return 1
end
