-- What a transfer's own slot says of its events. Reads only. tag t:<transfer>
-- -> { standing or false, inbox members, names of the steps (i:<n>) and of what is gone (g:<n>),
--      names of the plans, the plans }
local function operation(tag, a)
  local t = key(tag)
  local steps, plans = {}, {}
  for _, name in ipairs(call('HKEYS', t)) do
    local kind = string.sub(name, 1, 2)
    if kind == 'i:' or kind == 'g:' then steps[#steps + 1] = name
    elseif kind == 'p:' then plans[#plans + 1] = name end
  end
  local texts = {}
  for n, name in ipairs(plans) do texts[n] = call('HGET', t, name) end
  return { call('HGET', t, 's'), call('ZRANGE', key(tag, 'in'), 0, -1), steps, plans, texts }
end
