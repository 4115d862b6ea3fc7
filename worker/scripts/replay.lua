-- Put a dead letter back to work, as `rq requeue` does, and take it off the dead-letter queue in the same step.
-- KEYS: none. ARGV: prefix, '' (no single worker), id, dead-letter queue.
-- Returns 1, or 0 when it is no dead letter any more (replayed, requeued or deleted by somebody else). The record stays
-- on the job until it is claimed, which begins its counters anew.
local id, letters = ARGV[3], P .. ':queue:' .. ARGV[4]
local job = P .. ':job:' .. id
local found = call('LREM', letters, 0, id)
local origin = call('HGET', job, 'origin')
if not origin or call('HGET', job, 'status') ~= 'failed' then return 0 end
if call('ZREM', P .. ':failed:' .. origin, id) + found == 0 then return 0 end
call('HSET', job, 'status', 'queued', 'enqueued_at', (utc(0)), 'started_at', '', 'ended_at', '')
call('PERSIST', job)
call('RPUSH', P .. ':queue:' .. origin, id)
call('SADD', P .. ':queues', P .. ':queue:' .. origin)
return 1
