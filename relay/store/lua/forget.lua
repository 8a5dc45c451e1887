-- Deliveries leave their recipient's queue, each if it was retired before. tag r:<recipient> · delivery …
-- -> how many left
local function operation(tag, a)
  local left = {}
  for _, did in ipairs(a) do
    local known = call('HMGET', key(tag, 'd:' .. did), 's', 'y')
    if known[1] and known[1] ~= 'p' and known[2] then
      call('DEL', key(tag, 'd:' .. did))
      left[#left + 1] = did
    end
  end
  many('ZREM', key(tag, 'all'), left)
  return #left
end
