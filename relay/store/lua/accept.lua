-- One event enters a transfer, if the transfer is still as the caller judged it.
-- tag t:<transfer> · version judged from, event id, fingerprint, joint (1: claim the id here too),
--   sequence, standing after, timeline entry, event body, link ('' keep, '-' erase, else sealed link),
--   now, the hint's tag (joint only: who plans is told in the same step)
-- -> 0 accepted · 1 the transfer has moved since: judge again · 2 accepted before · 3 the id is another body's
local function operation(tag, a)
  local t = key(tag)
  local claim = key('e:' .. a[2])
  if a[4] == '1' then
    local owner = call('GET', claim)
    if owner and owner ~= a[3] then return 3 end
  end
  local known = call('HMGET', t, 'v', 'e:' .. a[2])
  if known[2] then return 2 end
  if (known[1] or '0') ~= a[1] then return 1 end
  local seq = a[5]
  if a[4] == '1' then call('SET', claim, a[3]) end
  call('HSET', t, 'v', tonumber(a[1]) + 1, 's', a[6], 'e:' .. a[2], seq, 'i:' .. seq, a[7], 'x:' .. seq, a[8])
  if a[9] == '-' then call('HDEL', t, 'link')
  elseif a[9] ~= '' then call('HSET', t, 'link', a[9]) end
  call('ZADD', key(tag, 'in'), seq, seq)
  if a[4] == '1' then call('ZADD', key(a[11], 'at'), 'LT', a[10], string.sub(tag, 3)) end
  return 0
end
