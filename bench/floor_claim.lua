-- Claim up to k jobs for a worker: the least that keeps RQ 3.0's books, nothing that a real claim adds.
--
-- KEYS[1] queue (list of job ids)   KEYS[2] wip registry (zset)   KEYS[3] worker (hash)   KEYS[4] its executions (set)
-- ARGV[1] worker's name   ARGV[2] now, as RQ writes it   ARGV[3] lease in seconds   ARGV[4…] execution ids, k of them
-- Returns an array of {job id, its hash as a flat array}, in queue order.
-- Touches rq:job:ID (hash), rq:execution:ID:EXECUTION (hash), rq:executions:ID (zset).
local name, now, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local ids = redis.call('LPOP', KEYS[1], #ARGV - 3)
if not ids then return {} end
local clock = redis.call('TIME')
local seconds = clock[1] .. '.' .. string.format('%06d', clock[2])
local until_ = tonumber(clock[1]) + lease
local jobs, leases, composites = {}, {}, {}
for index, id in ipairs(ids) do
  local job, execution = 'rq:job:' .. id, ARGV[3 + index]
  local hash = redis.call('HGETALL', job)
  if #hash > 0 then
    local composite = id .. ':' .. execution
    redis.call('HSET', job, 'status', 'started', 'started_at', now, 'last_heartbeat', now, 'worker_name', name)
    redis.call('PERSIST', job)
    redis.call('HSET', 'rq:execution:' .. composite, 'id', execution, 'job_id', id, 'created_at', seconds,
      'last_heartbeat', seconds, 'worker_name', name)
    redis.call('EXPIRE', 'rq:execution:' .. composite, lease)
    redis.call('ZADD', 'rq:executions:' .. id, until_ + 60, execution)
    redis.call('EXPIRE', 'rq:executions:' .. id, lease + 60)
    leases[#leases + 1] = until_
    leases[#leases + 1] = composite
    composites[#composites + 1] = composite
    jobs[#jobs + 1] = {id, hash}
  end
end
if #jobs > 0 then
  redis.call('ZADD', KEYS[2], unpack(leases))
  redis.call('SADD', KEYS[4], unpack(composites))
  redis.call('EXPIRE', KEYS[4], lease + 60)
  redis.call('HSET', KEYS[3], 'state', 'busy')
end
return jobs
