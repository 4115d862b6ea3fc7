-- Prepended to the scripts after which another job may have a place under a rate limit (RQ's rate_limit.py).
--   P:rl:<key> hash · P:rl:<key>:allowed|rate_limited zsets

-- Give the free places under `key` to those that have waited longest. Returns how many got one.
local function give_places(P, key, concurrency, score, moment)
  local allowed, waiting = P .. ':rl:' .. key .. ':allowed', P .. ':rl:' .. key .. ':rate_limited'
  local given = 0
  while redis.call('ZCARD', allowed) < concurrency do
    local first = redis.call('ZRANGE', waiting, 0, 0)[1]
    if not first then break end
    local other = P .. ':job:' .. first
    local origin, status, front = unpack(redis.call('HMGET', other, 'origin', 'status', 'enqueue_at_front'))
    if origin and status == 'rate_limited' then
      local list = P .. ':queue:' .. origin
      redis.call(front == '1' and 'LPUSH' or 'RPUSH', list, first)
      local well, problem = pcall(function()
        redis.call('ZADD', allowed, score, first)
        redis.call('HSET', other, 'status', 'queued', 'enqueued_at', moment)
        redis.call('ZREM', waiting, first)
      end)
      if not well then
        redis.pcall('LREM', list, front == '1' and 1 or -1, first)
        redis.pcall('ZREM', allowed, first)
        redis.pcall('HSET', other, 'status', 'rate_limited')
        error(problem, 0)
      end
      given = given + 1
    else
      redis.call('ZREM', waiting, first)
    end
  end
  return given
end
