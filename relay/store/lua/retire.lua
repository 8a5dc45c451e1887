-- Settled deliveries are not to be opened again: what they carried, or they themselves, are about to leave.
-- tag r:<recipient> · delivery … -> for each: 1, or 0 when it is pending
local function operation(tag, a)
  local done = {}
  for n, did in ipairs(a) do
    local d = key(tag, 'd:' .. did)
    local status = call('HGET', d, 's')
    done[n] = status == 'p' and 0 or 1
    if status and status ~= 'p' then call('HSET', d, 'y', '1') end
  end
  return done
end
