-- Rescue the claims of worker ARGV[2]: release those that it had not begun, return the one that it was running.
-- KEYS: none.
-- ARGV: prefix, the worker, running execution ('' = none, '?' = unknown: its death was not seen), fence ('' = the
--   worker is dead; otherwise it recovers itself, and claims with an older token are refused from now on), time to live
--   of its record should it have none (s), executions to leave alone…
-- Unknown: a single claim is taken for the running one; several are all released and marked `suspect`, so that each is
-- claimed alone from then on and the next death is blamed on the right one.
-- Returns {number released, {id, execution, origin, {field, value, …}}…}. The running job's claim stays with the dead
-- worker's execution until the caller hands it on (retry) or buries it: a rescuer that dies here changes nothing.
local running, keep, claims = ARGV[3], {}, {}
for at = 6, #ARGV do keep[ARGV[at]] = true end
go_on_without_memory()
make_room(EXECUTIONS_KEY, 'set')
if ARGV[4] ~= '' then
  make_room(WORKER_KEY, 'hash')
  call('HSET', WORKER_KEY, 'fence', ARGV[4])
  if call('TTL', WORKER_KEY) < 0 then call('EXPIRE', WORKER_KEY, ARGV[5]) end
end
for _, member in ipairs(call('SMEMBERS', EXECUTIONS_KEY)) do
  local id, execution = string.match(member, '^(.*):([^:]*)$')
  if not id then
    call('SREM', EXECUTIONS_KEY, member)
  elseif not keep[execution] then
    local origin = field(P .. ':job:' .. id, 'origin') or ''
    if call('ZSCORE', P .. ':wip:' .. origin, member) then
      claims[#claims + 1] = {execution, id, origin}
    else
      forget(id, execution)
    end
  end
end
table.sort(claims, function(a, b) return a[1] > b[1] end)
-- All are marked before the first is released: if the server refuses in between, the last one left is no culprit.
local unknown = running == '?'
if unknown and #claims > 1 then
  for _, c in ipairs(claims) do call('HSET', P .. ':job:' .. c[2], 'suspect', c[1]) end
end
local function blamed(execution, id)
  return unknown and #claims == 1 and call('HGET', P .. ':job:' .. id, 'suspect') ~= execution
end
local reply, released = {0}, 0
for _, c in ipairs(claims) do
  local execution, id, origin = c[1], c[2], c[3]
  if execution == running or blamed(execution, id) then
    reply[#reply + 1] = {id, execution, origin, call('HGETALL', P .. ':job:' .. id)}
  else
    put_back(origin, origin, id, execution)
    released = released + 1
  end
end
reply[1] = released
return reply
