-- A task that was taken is done, or is to be done again, if nobody made it due again meanwhile.
-- tag · task, score it was given, next ('' done), text ('' as it is), note for the past ('' none), how many to keep
-- -> 1 settled · 0 it was not ours any more
local function operation(tag, a)
  local at, text = key(tag, 'at'), key(tag, 'text')
  local score = call('ZSCORE', at, a[1])
  if not score or tonumber(score) ~= tonumber(a[2]) then return 0 end
  if a[3] == '' then
    call('ZREM', at, a[1])
    call('HDEL', text, a[1])
  else
    call('ZADD', at, a[3], a[1])
    if a[4] ~= '' then call('HSET', text, a[1], a[4]) end
  end
  if a[5] ~= '' then
    call('LPUSH', key(tag, 'past'), a[5])
    call('LTRIM', key(tag, 'past'), 0, a[6] - 1)
  end
  return 1
end
