-- What follows in the chain rests on these registrations, and is not done where one of them has changed.
-- tag p:<partner> of the first (joint only: those of the others are touched too) · then for each: partner, version -> 1
local function operation(_, a)
  local keys = {}
  for i = 1, #a, 2 do keys[#keys + 1] = key('p:' .. a[i], 'v') end
  for n, version in ipairs(call('MGET', unpack(keys))) do
    if (version or '0') ~= a[2 * n] then return stop end
  end
  return 1
end
