-- How deliveries stand, and whether something will come of those that are pending; where nothing would, they
-- are made to wait again. tag r:<recipient> · delivery …
-- -> { next due or '', then for each: status letter, '' when there is none, 'l' when it was stuck }
--@queue
local function waits(tag, did, lane)
  if call('HEXISTS', key(tag, 'fly'), did) == 1 then return true end
  local head = did
  if lane ~= '' then
    if not call('ZSCORE', key(tag, 'lane:' .. lane), did) then return false end
    local flying = call('HGET', key(tag, 'busy'), lane)
    if flying then return call('HEXISTS', key(tag, 'fly'), flying) == 1 end
    head = call('ZRANGE', key(tag, 'lane:' .. lane), 0, 0)[1]
  end
  return (call('ZSCORE', key(tag, 'due'), head) or call('ZSCORE', key(tag, 'again'), head)) and true or false
end

local function operation(tag, a)
  local found = { '' }
  local stuck = false
  for n, did in ipairs(a) do
    local d = call('HMGET', key(tag, 'd:' .. did), 's', 'l', 'q')
    local letter = d[1] or ''
    if letter == 'p' and not waits(tag, did, d[2]) then
      letter, stuck = 'l', true
      if d[2] ~= '' then
        local flying = call('HGET', key(tag, 'busy'), d[2])
        if flying and call('HEXISTS', key(tag, 'fly'), flying) == 0 then call('HDEL', key(tag, 'busy'), d[2]) end
        call('ZADD', key(tag, 'lane:' .. d[2]), d[3], did)
      end
      enter(tag, did, d[2])
    end
    found[n + 1] = letter
  end
  if stuck then found[1] = next_due(tag) end
  return found
end
