-- One thing that a source remembers is replaced, if it still is what the caller read, with the names that
-- lead to it. tag · name, the text that was read ('' none), the new text ('' remove), names that lead to it …
-- -> what is remembered now: the new text when it was replaced
local function operation(tag, a)
  local kept, lead = key(tag, 'kept'), key(tag, 'lead')
  local now = call('HGET', kept, a[1]) or ''
  if now == a[3] or now ~= a[2] then return now end
  local pairs_, names = {}, {}
  for i = 4, #a do
    if a[3] == '' then
      if call('HGET', lead, a[i]) == a[1] then names[#names + 1] = a[i] end
    else
      pairs_[#pairs_ + 1] = a[i]
      pairs_[#pairs_ + 1] = a[1]
    end
  end
  if a[3] == '' then
    call('HDEL', kept, a[1])
    many('HDEL', lead, names)
  else
    call('HSET', kept, a[1], a[3])
    many('HSET', lead, pairs_)
  end
  return a[3]
end
