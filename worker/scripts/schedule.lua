-- Move up to ARGV[3] jobs that are due from the scheduled registries to their queues, in the order they fell due.
-- Read, remove and push are one step: several dispatchers never move a job twice, none is lost between.
-- KEYS: none.
-- ARGV: prefix, '' (no single worker), limit, queue names…
-- Returns {number moved, seconds until the next job is due (-1 = none), lateness of the oldest moved job (s)}.
local moved, next_due, late = 0, -1, 0
local limit = tonumber(ARGV[3])
for at = 4, #ARGV do
  local queue = ARGV[at]
  local registry = P .. ':scheduled:' .. queue
  local due = call('ZRANGEBYSCORE', registry, '-inf', NOW, 'WITHSCORES', 'LIMIT', 0, limit - moved)
  for i = 1, #due, 2 do
    local id, job = due[i], P .. ':job:' .. due[i]
    call('ZREM', registry, id)
    if call('EXISTS', job) == 1 then
      local front = call('HMGET', job, 'enqueue_at_front_on_retry', 'ended_at', 'enqueue_at_front')
      local at_front = (front[1] == '1' and front[2] and front[2] ~= '') or front[3] == '1'
      call('HSET', job, 'status', 'queued', 'origin', queue, 'enqueued_at', (utc(0)))
      call(at_front and 'LPUSH' or 'RPUSH', P .. ':queue:' .. queue, id)
      moved = moved + 1
      late = math.max(late, NOW - tonumber(due[i + 1]))
    end
  end
  if #due > 0 then call('SADD', P .. ':queues', P .. ':queue:' .. queue) end
  local first = call('ZRANGE', registry, 0, 0, 'WITHSCORES')[2]
  if first then
    local wait = math.max(0, tonumber(first) - NOW)
    if next_due < 0 or wait < next_due then next_due = wait end
  end
end
return {moved, next_due, late}
