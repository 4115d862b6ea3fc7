-- Prepended to the scripts that put jobs on their queues once what they waited for has come: a moment, other jobs. As
-- in RQ's Queue a job's own ttl begins anew, and a rate-limited job goes on only with a place under its key.
--   P:rl:<key> hash · P:rl:<key>:allowed|rate_limited zsets · P:rl-keys set
local ENQUEUED_AT, STAMP = utc(0)

local function push(id, job, queue, at_front)
  call('HSET', job, 'status', 'queued', 'enqueued_at', ENQUEUED_AT)
  call(at_front and 'LPUSH' or 'RPUSH', P .. ':queue:' .. queue, id)
end

-- Let a job wait for a place under `key`, then give free places to those that have waited longest (RQ's rate_limit.py).
local function wait_for_place(id, job, key, concurrency, at_front)
  local registry = P .. ':rl:' .. key
  local allowed, waiting = registry .. ':allowed', registry .. ':rate_limited'
  call('SADD', P .. ':rl-keys', key)
  call('HSET', registry, 'concurrency', concurrency)
  call('HSET', job, 'status', 'rate_limited')
  if at_front then call('HSET', job, 'enqueue_at_front', 1) end
  call('ZADD', waiting, STAMP, id)
  while call('ZCARD', allowed) < concurrency do
    local first = call('ZPOPMIN', waiting)[1]
    if not first then break end
    local other = P .. ':job:' .. first
    local origin, status, front = unpack(call('HMGET', other, 'origin', 'status', 'enqueue_at_front'))
    if origin and status == 'rate_limited' then
      call('ZADD', allowed, STAMP, first)
      push(first, other, origin, front == '1')
    end
  end
end

-- Put a job, which exists, on `queue`. The caller adds the queue to P:queues.
local function enqueue(id, queue)
  local job = P .. ':job:' .. id
  local front, ended_at, on_retry, ttl, key, concurrency = unpack(call('HMGET', job, 'enqueue_at_front', 'ended_at',
    'enqueue_at_front_on_retry', 'ttl', 'rate_limit_key', 'rate_limit_concurrency'))
  ttl, concurrency = count_of(ttl), count_of(concurrency)
  local at_front = (on_retry == '1' and ended_at and ended_at ~= '') or front == '1'
  call('HSET', job, 'origin', queue)
  if key and concurrency then
    wait_for_place(id, job, key, concurrency, at_front)
  else
    push(id, job, queue, at_front)
  end
  if ttl then expire(id, ttl) end
end
