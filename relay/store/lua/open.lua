-- Recipients that have something due are taken, and a pass begun over each: in the step that finds who has something to
-- do. Who has nothing after all is given back in it. On one server only, because it touches many tags.
-- tag due:<hint>:<shard> · now, until, most, token, lease ms, want
-- -> how many, then for each that has something, or that another pass has: recipient, and as lua/advance.lua answers,
--    or { 'failed' }
--@queue
--@use advance

local function operation(tag, a)
  local k = key(tag, 'at')
  local due = call('ZRANGEBYSCORE', k, '-inf', a[1], 'LIMIT', 0, a[3])
  local taken, begun = {}, { #due }
  for n, member in ipairs(due) do
    taken[2 * n - 1] = a[2]
    taken[2 * n] = member
  end
  many('ZADD', k, taken)
  for _, member in ipairs(due) do
    -- What cannot be read of one queue is for nobody else to suffer from.
    local sound, reply = pcall(advance, 'r:' .. member, { a[4], a[1], a[5], a[6], '0', '', '', '', tag, a[2], '1' })
    if not sound then reply = { 'failed' } end
    if reply[1] ~= 'ok' or reply[3] == '-' then
      begun[#begun + 1] = member
      begun[#begun + 1] = reply
    end
  end
  return begun
end
