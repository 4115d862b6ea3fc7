-- Have a job whose attempt failed or crashed tried again: put it back on its queue, or schedule it for later.
-- KEYS: none.
-- ARGV: prefix, worker, id, execution, origin, delay (s, 0 = now), front (1 = head of the queue), started ago (µs),
--   ended ago (µs), then field, value, … to write on the job hash (counters, last error).
-- Returns 1, 0 when the claim was lost, or 2 when the job has a rate limit, whose place others may use during the
-- delay: RQ's own code must free it. Its claim is still ours then.
local id, execution, origin = ARGV[3], ARGV[4], ARGV[5]
local delay, front, started, ended = tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
if delay > 0 and call('HEXISTS', P .. ':job:' .. id, 'rate_limit_key') == 1 then return 2 end
if not take(origin, id, execution) then return 0 end
forget(id, execution)
count_failure(started - ended)
local job = P .. ':job:' .. id
local started_at, ended_at = (utc(started)), (utc(ended))
if call('EXISTS', job) == 0 then return 1 end
call('HSET', job, 'started_at', started_at, 'ended_at', ended_at, 'last_heartbeat', ended_at, unpack(ARGV, 10))
call('HDEL', job, 'suspect')
call('SADD', P .. ':queues', P .. ':queue:' .. origin)
if delay > 0 then
  call('HSET', job, 'status', 'scheduled')
  call('ZADD', P .. ':scheduled:' .. origin, math.ceil(NOW + NOW_US / 1000000 + delay), id) -- not before the delay
else
  call('HSET', job, 'status', 'queued', 'enqueued_at', (utc(0)))
  call(front == '1' and 'LPUSH' or 'RPUSH', P .. ':queue:' .. origin, id)
end
local ttl = count_of(call('HGET', job, 'ttl'))
if ttl then expire(id, ttl) end
return 1
