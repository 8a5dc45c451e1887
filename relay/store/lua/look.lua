-- What is known of an event id and of the transfer it names. Reads only.
-- tag t:<transfer> · event id, event field ('' = any), joint (1: the claim lives on this server too)
-- -> { claim or false, version or false, standing or false, sequence of the event or false }
local function operation(tag, a)
  local known = call('HMGET', key(tag), 'v', 's', 'e:' .. a[1])
  local claim = false
  if a[2] == '1' then claim = call('GET', key('e:' .. a[1])) end
  return { claim, known[1], known[2], known[3] }
end
