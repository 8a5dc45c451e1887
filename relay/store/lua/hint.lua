-- Taken hints are given back, each if it still is as it was taken.
-- tag · then for each: member, score it was given, new score ('' none) -> how many still were
local function operation(tag, a)
  local k = key(tag, 'at')
  local members = {}
  for i = 1, #a, 3 do members[#members + 1] = a[i] end
  local scores = call('ZMSCORE', k, unpack(members))
  local gone, later = {}, {}
  for n, score in ipairs(scores) do
    if score and tonumber(score) == tonumber(a[3 * n - 1]) then
      if a[3 * n] == '' then
        gone[#gone + 1] = members[n]
      else
        later[#later + 1] = a[3 * n]
        later[#later + 1] = members[n]
      end
    end
  end
  many('ZREM', k, gone)
  many('ZADD', k, later)
  return #gone + #later / 2
end
