-- Put dead letters back to work, as `rq requeue` does, and take them off the dead-letter queue in the same step.
-- KEYS: none. ARGV: as in _letters.lua, then the queue that they go to ('' = where they came from), fresh (1 = without
--   what their steps have kept), then their ids.
-- Returns 1 or 0 for each: 0 = it is no longer a dead letter (replayed, requeued or deleted meanwhile). The
-- record stays on the job until its next claim, which begins its counters anew; `past` shows the claim that the id is
-- off the queue already. As with RQ, the job's own ttl begins anew, and a rate-limited job waits for a place.
local to, fresh, replies, done = ARGV[8], ARGV[9] == '1', {}, {}

local function replay(id)
  local origin = origin_of_letter(id)
  if not origin then return 0 end
  local job, failed, queue = P .. ':job:' .. id, P .. ':failed:' .. origin, to ~= '' and to or origin
  local ttl, key, concurrency = unpack(call('HMGET', job, 'ttl', 'rate_limit_key', 'rate_limit_concurrency'))
  ttl, concurrency = count_of(ttl), count_of(concurrency)
  local limit = key and concurrency and P .. ':rl:' .. key
  if fresh then
    call('HDEL', job, 'journal')
    call('DEL', P .. ':journal:' .. id)
  end
  call('EXPIRE', P .. ':journal:' .. id, JOURNAL_SECONDS)
  call('HSET', job, 'enqueued_at', ENQUEUED_AT, 'started_at', '', 'ended_at', '')
  if ttl then call('EXPIRE', job, ttl) else call('PERSIST', job) end
  call('ZREM', failed, '') -- to be refused, if it is, before the job stands on its queue
  local listed = unlist(id)
  local well, problem = pcall(function()
    call('HSET', job, 'past', 1, 'origin', queue)
    if limit then
      wait_for_place(id, job, key, concurrency, false)
      call('ZREM', failed, id)
    else
      push(id, job, queue, false, failed)
    end
  end)
  if not well and redis.pcall('HGET', job, 'status') ~= 'queued' then
    redis.pcall('HSET', job, 'status', 'failed', 'origin', origin)
    redis.pcall('HDEL', job, 'past')
    if limit then redis.pcall('ZREM', limit .. ':rate_limited', id) end
    if listed > 0 then redis.pcall('LPUSH', LETTERS, id) end
    raise(problem)
  end
  if not well then redis.pcall('ZREM', failed, id) end
  return 1
end

for at = 10, #ARGV do
  local reply = replay(ARGV[at])
  replies[#replies + 1] = reply
  if reply == 1 then done[#done + 1] = ARGV[at] end
end
audit(done)
return replies
