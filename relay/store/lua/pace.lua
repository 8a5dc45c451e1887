-- One more of what is limited to a rate. tag pace:<name> · now, ms between two, how far ahead of it, the farthest
-- moment that is named -> 0 it may go, or when to ask again
-- `tat` is when what went is paid for, `next` the first moment that nobody was told yet.
local function operation(tag, a)
  local k = key(tag)
  local now, gap, slack = tonumber(a[1]), tonumber(a[2]), tonumber(a[3])
  local known = call('HMGET', k, 'tat', 'next')
  local base = math.max(tonumber(known[1] or '0'), now)
  if base - now <= slack then
    call('HSET', k, 'tat', string.format('%.3f', base + gap))
    call('PEXPIRE', k, math.ceil(base + gap - now) + 1000)
    return 0
  end
  local at = math.max(tonumber(known[2] or '0'), base - slack, now + 1)
  at = math.min(at, tonumber(a[4]))
  call('HSET', k, 'next', string.format('%.3f', at + gap))
  call('PEXPIRE', k, math.ceil(math.max(base, at + gap) - now) + 1000)
  return math.ceil(at)
end
