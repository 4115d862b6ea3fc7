-- Record that jobs succeeded: the least that keeps RQ 3.0's books, nothing that a real settling adds.
--
-- KEYS[1] finished registry (zset)   KEYS[2] wip registry (zset)   KEYS[3] worker (hash)   KEYS[4] its executions (set)
-- ARGV[1] worker's name   ARGV[2] now, as RQ writes it   ARGV[3] result_ttl in seconds   ARGV[4] seconds worked
-- ARGV[5…] per job: its id, execution id, start in seconds, end in seconds, base64 of the pickled return value
-- Returns how many were still ours: an execution that the wip registry no longer holds belongs to somebody else.
-- Touches rq:job:ID (hash), rq:results:ID (stream), rq:execution:ID:EXECUTION (hash), rq:executions:ID (zset).
local name, now, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local expiry = tonumber(redis.call('TIME')[1]) + ttl
local scores, composites = {}, {}
for at = 5, #ARGV, 5 do
  local id, execution = ARGV[at], ARGV[at + 1]
  local composite = id .. ':' .. execution
  if redis.call('ZSCORE', KEYS[2], composite) then
    local job, results = 'rq:job:' .. id, 'rq:results:' .. id
    redis.call('HSET', job, 'status', 'finished', 'ended_at', now, 'last_heartbeat', now)
    redis.call('EXPIRE', job, ttl)
    redis.call('XADD', results, 'MAXLEN', '~', '10', '*', 'type', '1', 'worker_name', name, 'return_value', ARGV[at + 4],
      'execution_id', execution, 'execution_started_at', ARGV[at + 2], 'execution_ended_at', ARGV[at + 3])
    redis.call('EXPIRE', results, ttl)
    redis.call('DEL', 'rq:execution:' .. composite, 'rq:executions:' .. id)
    scores[#scores + 1] = expiry
    scores[#scores + 1] = id
    composites[#composites + 1] = composite
  end
end
if #composites > 0 then
  redis.call('ZADD', KEYS[1], unpack(scores))
  redis.call('ZREM', KEYS[2], unpack(composites))
  redis.call('SREM', KEYS[4], unpack(composites))
  redis.call('HINCRBY', KEYS[3], 'successful_job_count', #composites)
  redis.call('HINCRBYFLOAT', KEYS[3], 'total_working_time', ARGV[4])
end
return #composites
