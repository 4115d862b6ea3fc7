-- Have a job whose attempt failed or crashed tried again: put it back on its queue, or schedule it for later.
-- KEYS: none.
-- ARGV: prefix, worker, id, execution, origin, delay (s, 0 = now), front (1 = head of the queue), started ago (µs),
--   ended ago (µs), then field, value, … to write on the job hash (counters, last error; `suspect`
--   of one that crashed, so that it runs alone: what failed by itself is suspect no more).
-- Returns 1, 0 when the claim was lost, or 2 when the job has a rate limit, whose place others may use during the
-- delay: RQ's own code must free it. Its claim is still ours then.
local id, execution, origin = ARGV[3], ARGV[4], ARGV[5]
local delay, front, started, ended = tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local job, queue, scheduled = P .. ':job:' .. id, P .. ':queue:' .. origin, P .. ':scheduled:' .. origin
go_on_without_memory()
if delay > 0 and call('HEXISTS', job, 'rate_limit_key') == 1 then return 2 end
if not ours(origin, id, execution) then return 0 end
local take_back
if call('EXISTS', job) == 1 then
  local started_at, ended_at = (utc(started)), (utc(ended))
  note('SADD', P .. ':queues', queue)
  call('HDEL', job, 'suspect')
  call('HSET', job, 'started_at', started_at, 'ended_at', ended_at, 'last_heartbeat', ended_at, unpack(ARGV, 10))
  local ttl = count_of(call('HGET', job, 'ttl'))
  if ttl then expire(id, ttl) end
  if delay > 0 then
    call('ZREM', scheduled, id) -- to be refused, if it is, before the job stands there
    call('HSET', job, 'status', 'scheduled')
    call('ZADD', scheduled, math.ceil(NOW + NOW_US / 1000000 + delay), id) -- not before the delay
    take_back = function() redis.pcall('ZREM', scheduled, id) end
  else
    call('HSET', job, 'status', 'queued', 'enqueued_at', (utc(0)))
    call(front == '1' and 'LPUSH' or 'RPUSH', queue, id)
    take_back = function() redis.pcall('LREM', queue, front == '1' and 1 or -1, id) end
  end
end
give_up(origin, id, execution, take_back)
tidy(count_failure, started - ended)
return 1
