-- One system of the sandbox moves on, if it still is what the caller read, and what happened is noted.
-- tag · version that was read ('' none), new state, how many notes to keep, note …
-- -> 1 it is that now · 0 somebody else was first
local function operation(tag, a)
  local k, notes = key(tag), key(tag, 'notes')
  local version = call('HGET', k, 'version') or ''
  if version ~= a[1] then return 0 end
  call('HINCRBY', k, 'version', 1)
  call('HSET', k, 'state', a[2])
  if #a > 3 then
    for i = 4, #a do call('RPUSH', notes, a[i]) end
    call('LTRIM', notes, -a[3], -1)
    call('HINCRBY', k, 'noted', #a - 3)
  end
  return 1
end
