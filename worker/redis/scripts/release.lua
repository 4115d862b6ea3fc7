-- Put claims back at the head of their queues, in order, as if they had not been popped: no attempt is burned.
-- KEYS: none.
-- ARGV: prefix, worker, then five values a claim in the order of the claims: id, execution, origin, queue,
--   interrupted (1 = its code had begun: its hand-back counter goes up).
-- Returns the ids that were no longer ours, or were canceled meanwhile.
local lost = {}
go_on_without_memory()
for at = #ARGV - 4, 3, -5 do
  local id, execution, origin, queue = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if not ours(origin, id, execution) then
    lost[#lost + 1] = id
  elseif call('HEXISTS', P .. ':job:' .. id, 'status') == 0 then
    give_up(origin, id, execution) -- it was deleted
  else
    put_back(origin, queue, id, execution)
    if ARGV[at + 4] == '1' then tidy(call, 'HINCRBY', P .. ':job:' .. id, 'handbacks', 1) end
  end
end
return lost
