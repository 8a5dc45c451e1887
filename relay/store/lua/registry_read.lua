-- Reads everything a partner registered, if it changed since the version the caller knows.
-- a: the known version. Replies nil when nothing changed, else {version, partner JSON or nil,
-- {endpoint id, JSON, ...}, {address, JSON of what that person chose, ...}}.
local function operation(tag, a)
  local version = call('GET', key(tag, 'v')) or '0'
  if version == a[1] then return false end
  return {version, call('GET', key(tag, 'partner')), call('HGETALL', key(tag, 'endpoints')),
    call('HGETALL', key(tag, 'preferences'))}
end
