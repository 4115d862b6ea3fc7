-- Put a dead letter back to work, as `rq requeue` does, and take it off the dead-letter queue in the same step.
-- KEYS: none. ARGV: prefix, '' (no single worker), id, dead-letter queue.
-- Returns 1, or 0 when it is no dead letter any more (replayed, requeued or deleted by somebody else). The record stays
-- on the job until it is claimed, which begins its counters anew. As with RQ, the job's own ttl begins anew, and a
-- rate-limited job needs a slot of its key: without a free one it waits, and who frees the next slot moves it on.
local id, letters = ARGV[3], P .. ':queue:' .. ARGV[4]
local job = P .. ':job:' .. id
local found = call('LREM', letters, 0, id)
local origin = call('HGET', job, 'origin')
if not origin or call('HGET', job, 'status') ~= 'failed' then return 0 end
if call('ZREM', P .. ':failed:' .. origin, id) + found == 0 then return 0 end
local ttl, key, slots = unpack(call('HMGET', job, 'ttl', 'rate_limit_key', 'rate_limit_concurrency'))
call('HSET', job, 'status', 'queued', 'enqueued_at', (utc(0)), 'started_at', '', 'ended_at', '')
if tonumber(ttl or '') then call('EXPIRE', job, ttl) else call('PERSIST', job) end
if key and slots then
  local limit = P .. ':rl:' .. key
  call('SADD', P .. ':rl-keys', key)
  call('HSET', limit, 'concurrency', slots)
  if call('ZCARD', limit .. ':allowed') >= tonumber(slots) then
    call('HSET', job, 'status', 'rate_limited')
    call('ZADD', limit .. ':rate_limited', NOW, id)
    return 1
  end
  call('ZADD', limit .. ':allowed', NOW, id)
end
call('RPUSH', P .. ':queue:' .. origin, id)
call('SADD', P .. ':queues', P .. ':queue:' .. origin)
return 1
