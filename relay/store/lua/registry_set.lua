-- Changes one registered thing of one partner, if it still is what the caller read.
-- a: 'partner', 'endpoint' or 'preferences', the endpoint's id or the person's address (or ''), the JSON that was read ('' for none),
--    the new JSON ('' to remove), the most endpoints the partner may have (0 for no limit).
-- Replies {'ok' | 'same' | 'changed' | 'full' | 'no_partner', what is stored now}. A repeat of a call that
-- was done replies 'same'. Every change counts up `v`, which is what caches ask by.
local function operation(tag, a)
  local what, id, read, new, most = a[1], a[2], a[3], a[4], tonumber(a[5])
  local partner, endpoints = key(tag, 'partner'), key(tag, 'endpoints')
  local chosen = key(tag, 'preferences')
  local now
  if what == 'partner' then
    now = call('GET', partner)
  else
    now = call('HGET', what == 'endpoint' and endpoints or chosen, id)
  end
  now = now or ''
  if now == new then return {'same', now} end
  if now ~= read then return {'changed', now} end
  if what == 'partner' then
    if new == '' then call('DEL', partner, endpoints, chosen) else call('SET', partner, new) end
  elseif what == 'preferences' then
    if new == '' then call('HDEL', chosen, id) else call('HSET', chosen, id, new) end
  elseif new == '' then
    call('HDEL', endpoints, id)
  else
    if now == '' then
      if call('EXISTS', partner) == 0 then return {'no_partner', ''} end
      if most > 0 and call('HLEN', endpoints) >= most then return {'full', ''} end
    end
    call('HSET', endpoints, id, new)
  end
  call('INCR', key(tag, 'v'))
  return {'ok', new}
end
