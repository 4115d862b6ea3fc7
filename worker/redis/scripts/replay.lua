-- Put dead letters back to work, as `rq requeue` does, and take them off the dead-letter queue in the same step.
-- KEYS: none. ARGV: as in _letters.lua, then the queue that they go to ('' = where they came from), then their ids.
-- Returns 1 or 0 for each: 0 = it is no dead letter any more (replayed, requeued or deleted by somebody else). The
-- record stays on the job until it is claimed, which begins its counters anew; `past` tells the claim that the id is
-- off the queue already. As with RQ, the job's own ttl begins anew, and a rate-limited job needs a slot of its key:
-- without a free one it waits, and who frees the next slot moves it on.
local to, replies, done = ARGV[8], {}, {}

local function replay(id)
  local origin = take_letter(id)
  if not origin then return 0 end
  local job = P .. ':job:' .. id
  if to ~= '' and to ~= origin then
    origin = to
    call('HSET', job, 'origin', to)
  end
  local ttl, key, slots = unpack(call('HMGET', job, 'ttl', 'rate_limit_key', 'rate_limit_concurrency'))
  call('HSET', job, 'status', 'queued', 'enqueued_at', (utc(0)), 'started_at', '', 'ended_at', '', 'past', 1)
  ttl, slots = count_of(ttl), count_of(slots)
  if ttl then call('EXPIRE', job, ttl) else call('PERSIST', job) end
  if key and slots then
    local limit = P .. ':rl:' .. key
    call('SADD', P .. ':rl-keys', key)
    call('HSET', limit, 'concurrency', slots)
    if call('ZCARD', limit .. ':allowed') >= slots then
      call('HSET', job, 'status', 'rate_limited')
      call('ZADD', limit .. ':rate_limited', NOW, id)
      return 1
    end
    call('ZADD', limit .. ':allowed', NOW, id)
  end
  call('RPUSH', P .. ':queue:' .. origin, id)
  call('SADD', P .. ':queues', P .. ':queue:' .. origin)
  return 1
end

for at = 9, #ARGV do
  local reply = replay(ARGV[at])
  replies[#replies + 1] = reply
  if reply == 1 then done[#done + 1] = ARGV[at] end
end
audit(done)
return replies
