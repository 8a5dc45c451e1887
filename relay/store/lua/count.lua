-- Counters of the whole installation. tag · name, increment …
local function operation(tag, a)
  for i = 1, #a, 2 do call('HINCRBY', key(tag), a[i], a[i + 1]) end
  return 1
end
