-- Put claims back at the head of their queues, in order, as if they had not been popped: no attempt is burned.
-- KEYS: none.
-- ARGV: prefix, worker, then five values a claim in the order of the claims: id, execution, origin, queue,
--   interrupted (1 = its code had begun: its hand-back counter goes up).
-- Returns the ids that were no longer ours, or were canceled meanwhile.
local lost = {}
for at = #ARGV - 4, 3, -5 do
  local id, execution, origin, queue = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if take(origin, id, execution) then
    forget(id, execution)
    local status = call('HGET', P .. ':job:' .. id, 'status')
    if status == 'canceled' then
      lost[#lost + 1] = id
    elseif status then
      put_back(origin, queue, id)
      if ARGV[at + 4] == '1' then call('HINCRBY', P .. ':job:' .. id, 'handbacks', 1) end
    end
  else
    lost[#lost + 1] = id
  end
end
return lost
