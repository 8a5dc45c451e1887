-- A transfer waits for a party to register. 1 when the party has registered meanwhile.
-- tag p:<partner> · member, score
local function operation(tag, a)
  if call('EXISTS', key(tag, 'partner')) == 1 then return 1 end
  call('ZADD', key(tag, 'waiting'), a[2], a[1])
  return 0
end
