-- Prepended to the scripts that put jobs on their queues once what they waited for has come: a moment, other jobs. As
-- in RQ's Queue a job's own ttl begins anew, and a rate-limited job goes on only with a place under its key.
--   P:rl:<key> hash · P:rl:<key>:allowed|rate_limited zsets · P:rl-keys set
local ENQUEUED_AT, STAMP = utc(0)

-- Put a job on its queue, then take it off `registry`, where it has waited; what is refused in the middle is taken back.
local function push(id, job, queue, at_front, registry)
  local list = P .. ':queue:' .. queue
  call('HSET', job, 'enqueued_at', ENQUEUED_AT)
  note('SADD', P .. ':queues', list)
  call(at_front and 'LPUSH' or 'RPUSH', list, id)
  local before = redis.pcall('HGET', job, 'status')
  local reply = redis.pcall('HSET', job, 'status', 'queued')
  if registry and type(reply) ~= 'table' then reply = redis.pcall('ZREM', registry, id) end
  if type(reply) == 'table' and reply.err then
    if type(before) == 'string' then redis.pcall('HSET', job, 'status', before) end
    redis.pcall('LREM', list, at_front and 1 or -1, id)
    raise(reply)
  end
end

-- Let a job wait for a place under `key`, then give free places to those that have waited longest (RQ's rate_limit.py).
local function wait_for_place(id, job, key, concurrency, at_front)
  local limit = P .. ':rl:' .. key
  local allowed, waiting = limit .. ':allowed', limit .. ':rate_limited'
  call('SADD', P .. ':rl-keys', key)
  call('HSET', limit, 'concurrency', concurrency)
  if at_front then call('HSET', job, 'enqueue_at_front', 1) end
  call('ZADD', waiting, STAMP, id)
  call('HSET', job, 'status', 'rate_limited')
  while call('ZCARD', allowed) < concurrency do
    local first = call('ZRANGE', waiting, 0, 0)[1]
    if not first then break end
    local other = P .. ':job:' .. first
    local origin, status, front = unpack(call('HMGET', other, 'origin', 'status', 'enqueue_at_front'))
    if origin and status == 'rate_limited' then
      call('ZADD', allowed, STAMP, first)
      local well, problem = pcall(push, first, other, origin, front == '1', waiting)
      if not well then
        redis.pcall('ZREM', allowed, first)
        raise(problem)
      end
    else
      call('ZREM', waiting, first)
    end
  end
end

-- Put a job, which exists and waits in `registry`, on `queue`.
local function enqueue(id, queue, registry)
  local job = P .. ':job:' .. id
  local front, ended_at, on_retry, ttl, key, concurrency, status = unpack(call('HMGET', job, 'enqueue_at_front',
    'ended_at', 'enqueue_at_front_on_retry', 'ttl', 'rate_limit_key', 'rate_limit_concurrency', 'status'))
  ttl, concurrency = count_of(ttl), count_of(concurrency)
  local at_front = (on_retry == '1' and ended_at and ended_at ~= '') or front == '1'
  call('HSET', job, 'origin', queue)
  if ttl then expire(id, ttl) end
  if key and concurrency then
    if status ~= 'queued' then wait_for_place(id, job, key, concurrency, at_front) end -- else a refused call has done it
    call('ZREM', registry, id)
  else
    push(id, job, queue, at_front, registry)
  end
end
