-- Fail a job for good and dead-letter it, in one step: there is no moment between "failed" and "dead-lettered".
-- KEYS: none.
-- ARGV: prefix, worker, id, execution, origin, started ago (µs), ended ago (µs), failure_ttl (s; -1 = for ever),
--   dead-letter queue ('' = none), forced (1 = bury even if dependents, webhooks or a rate limit need RQ's code),
--   traceback as RQ stores it (base64 of zlib), then field, value, … to write on the job hash.
-- Returns 1, 0 when the claim was lost, or 2 when RQ's own code must bury the job, because it has dependents, webhooks
-- or a rate limit. Its claim is still ours then.
local id, execution, origin = ARGV[3], ARGV[4], ARGV[5]
local started, ended, ttl, letters = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local job = P .. ':job:' .. id
if ARGV[10] ~= '1' and (call('EXISTS', job .. ':dependents') == 1 or call('HEXISTS', job, 'webhooks') == 1
  or call('HEXISTS', job, 'rate_limit_key') == 1) then return 2 end
if not take(origin, id, execution) then return 0 end
forget(id, execution)
count_failure(started - ended)
local results = P .. ':results:' .. id
if ttl == 0 then
  call('DEL', job, results, P .. ':job::' .. id .. ':dependencies')
  return 1
end
if call('EXISTS', job) == 0 then return 1 end
local started_at, started_stamp = utc(started)
local ended_at, ended_stamp = utc(ended)
call('HSET', job, 'status', 'failed', 'started_at', started_at, 'ended_at', ended_at, 'last_heartbeat', ended_at,
  'buried_at', ended_at, unpack(ARGV, 12))
call('HDEL', job, 'suspect')
call('XADD', results, 'MAXLEN', '~', '10', '*', 'type', '2', 'worker_name', W, 'exc_string', ARGV[11],
  'execution_id', execution, 'execution_started_at', started_stamp, 'execution_ended_at', ended_stamp)
if ttl > 0 then
  expire(id, ttl)
  call('EXPIRE', results, ttl)
  call('ZADD', P .. ':failed:' .. origin, NOW + ttl, id)
else
  call('PERSIST', results)
  call('ZADD', P .. ':failed:' .. origin, '-1', id)
end
if letters ~= '' then
  -- A UUID of RQ's is never used again. An id that a producer chose may be on the queue already, left by a job that was
  -- deleted since; LREM passes over the whole queue.
  if #id ~= 36 then call('LREM', P .. ':queue:' .. letters, 0, id) end
  call('RPUSH', P .. ':queue:' .. letters, id)
  call('SADD', P .. ':queues', P .. ':queue:' .. letters)
end
return 1
