-- Move up to ARGV[3] jobs that are due from the scheduled registries to their queues, in the order they fell due.
-- Read, push and remove are one step: several dispatchers never move a job twice, none is lost between.
-- KEYS: none. ARGV: prefix, '' (no single worker), limit, queue names…
-- Returns {number moved, seconds until the next job is due (-1 = none), lateness of the oldest moved job (s), time}, the
-- last three as decimals: RQ's scores are whole seconds, this server's clock is not.
local moved, next_due, late = 0, -1, 0
local limit = tonumber(ARGV[3])
local exact = NOW + NOW_US / 1000000

local function move(queue)
  local registry = P .. ':scheduled:' .. queue
  call('ZREM', registry, '') -- to be refused, if it is, before a job stands on its queue
  local due = call('ZRANGEBYSCORE', registry, '-inf', NOW, 'WITHSCORES', 'LIMIT', 0, limit - moved)
  for i = 1, #due, 2 do
    if call('EXISTS', P .. ':job:' .. due[i]) == 1 then
      enqueue(due[i], queue, registry)
      moved = moved + 1
      late = math.max(late, exact - tonumber(due[i + 1]))
    else
      call('ZREM', registry, due[i])
    end
  end
  local first = call('ZRANGE', registry, 0, 0, 'WITHSCORES')[2]
  if first then
    local wait = math.max(0, tonumber(first) - exact)
    if next_due < 0 or wait < next_due then next_due = wait end
  end
end

for at = 4, #ARGV do
  local registry = P .. ':scheduled:' .. ARGV[at]
  local found = call('TYPE', registry).ok
  if found == 'zset' then move(ARGV[at]) end -- what else is there keeps no other queue from its jobs
end
return {moved, tostring(next_due), string.format('%.3f', late), string.format('%d.%06d', NOW, NOW_US)}
