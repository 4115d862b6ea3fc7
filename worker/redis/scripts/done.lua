-- Write down when a chore of the leader is next due.
-- KEYS: none. ARGV: prefix, '' (no single worker), leader's name, token, chore, seconds from now.
-- Returns 1, or -1 when another leads by now. Chores that are a day overdue belong to old releases and are dropped.
if not lead(ARGV[3], ARGV[4]) then return -1 end
local chores = call('HGETALL', AGENDA_KEY)
for at = 1, #chores, 2 do
  if tonumber(chores[at + 1]) < NOW - 86400 then call('HDEL', AGENDA_KEY, chores[at]) end
end
call('HSET', AGENDA_KEY, ARGV[5], tostring(NOW + NOW_US / 1000000 + tonumber(ARGV[6])), ARGV[5] .. '|noted', NOW)
return 1
