-- Move up to ARGV[3] jobs that are due from the scheduled registries to their queues, in the order they fell due.
-- Read, remove and push are one step: several dispatchers never move a job twice, none is lost between.
-- As in RQ's scheduler a job's own ttl begins anew, and a rate-limited job goes on only with a slot of its key.
-- KEYS: none. Touches besides those of _common.lua: P:rl:<key> hash, P:rl:<key>:allowed|rate_limited zsets, P:rl-keys set.
-- ARGV: prefix, '' (no single worker), limit, queue names…
-- Returns {number moved, seconds until the next job is due (-1 = none), lateness of the oldest moved job (s)}, the last two
-- as decimals: RQ's scores are whole seconds, this server's clock is not.
local moved, next_due, late = 0, -1, 0
local limit = tonumber(ARGV[3])
local date, stamp = utc(0)
local exact = NOW + NOW_US / 1000000

local function push(id, job, queue, at_front)
  call('HSET', job, 'status', 'queued', 'enqueued_at', date)
  call(at_front and 'LPUSH' or 'RPUSH', P .. ':queue:' .. queue, id)
end

-- Let a job wait for a slot of `key`, then give free slots to those that have waited longest (RQ's rate_limit.py).
local function wait_for_slot(id, job, key, concurrency, at_front)
  local registry = P .. ':rl:' .. key
  local allowed, waiting = registry .. ':allowed', registry .. ':rate_limited'
  call('SADD', P .. ':rl-keys', key)
  call('HSET', registry, 'concurrency', concurrency)
  call('HSET', job, 'status', 'rate_limited')
  if at_front then call('HSET', job, 'enqueue_at_front', 1) end
  call('ZADD', waiting, stamp, id)
  while call('ZCARD', allowed) < tonumber(concurrency) do
    local first = call('ZPOPMIN', waiting)[1]
    if not first then break end
    local other = P .. ':job:' .. first
    local origin, status, front = unpack(call('HMGET', other, 'origin', 'status', 'enqueue_at_front'))
    if origin and status == 'rate_limited' then
      call('ZADD', allowed, stamp, first)
      push(first, other, origin, front == '1')
    end
  end
end

for at = 4, #ARGV do
  local queue = ARGV[at]
  local registry = P .. ':scheduled:' .. queue
  local due = call('ZRANGEBYSCORE', registry, '-inf', NOW, 'WITHSCORES', 'LIMIT', 0, limit - moved)
  for i = 1, #due, 2 do
    local id, job = due[i], P .. ':job:' .. due[i]
    call('ZREM', registry, id)
    if call('EXISTS', job) == 1 then
      local front, ended_at, on_retry, ttl, key, concurrency = unpack(call('HMGET', job, 'enqueue_at_front', 'ended_at',
        'enqueue_at_front_on_retry', 'ttl', 'rate_limit_key', 'rate_limit_concurrency'))
      local at_front = (on_retry == '1' and ended_at and ended_at ~= '') or front == '1'
      call('HSET', job, 'origin', queue)
      if key and concurrency then
        wait_for_slot(id, job, key, concurrency, at_front)
      else
        push(id, job, queue, at_front)
      end
      if tonumber(ttl or '') then expire(id, ttl) end
      moved = moved + 1
      late = math.max(late, exact - tonumber(due[i + 1]))
    end
  end
  if #due > 0 then call('SADD', P .. ':queues', P .. ':queue:' .. queue) end
  local first = call('ZRANGE', registry, 0, 0, 'WITHSCORES')[2]
  if first then
    local wait = math.max(0, tonumber(first) - exact)
    if next_due < 0 or wait < next_due then next_due = wait end
  end
end
return {moved, tostring(next_due), string.format('%.3f', late)}
