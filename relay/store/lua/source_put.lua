-- Something that a source is to do is kept until it is done.
-- tag · task, text, due, remember (1: once for ever, so that a repeat is known), now, forget before
-- -> 1 kept · 0 known already (a task that is not remembered becomes due earlier where it was later)
local function operation(tag, a)
  if a[4] == '1' then
    local seen = key(tag, 'seen')
    if call('ZSCORE', seen, a[1]) then return 0 end
    call('ZREMRANGEBYSCORE', seen, '-inf', '(' .. a[6])
    call('ZADD', seen, a[5], a[1])
  end
  local new = call('HSETNX', key(tag, 'text'), a[1], a[2])
  call('ZADD', key(tag, 'at'), 'LT', a[3], a[1])
  return new
end
