-- A taken hint is given back, if it still is as it was taken. tag · member, score it was given, new score ('' none)
local function operation(tag, a)
  local k = key(tag, 'at')
  local score = call('ZSCORE', k, a[1])
  if not score or tonumber(score) ~= tonumber(a[2]) then return 0 end
  if a[3] == '' then call('ZREM', k, a[1]) else call('ZADD', k, a[3], a[1]) end
  return 1
end
