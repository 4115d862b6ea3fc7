-- Put dead letters back to work, as `rq requeue` does, and take them off the dead-letter queue in the same step.
-- KEYS: none. ARGV: as in _letters.lua, then the queue that they go to ('' = where they came from), then their ids.
-- Returns 1 or 0 for each: 0 = it is no longer a dead letter (replayed, requeued or deleted meanwhile). The
-- record stays on the job until its next claim, which begins its counters anew; `past` shows the claim that the id is
-- off the queue already. As with RQ, the job's own ttl begins anew, and a rate-limited job waits for a place.
local to, replies, done = ARGV[8], {}, {}

local function replay(id)
  local origin = take_letter(id)
  if not origin then return 0 end
  local job = P .. ':job:' .. id
  if to ~= '' and to ~= origin then
    origin = to
    call('HSET', job, 'origin', to)
  end
  local ttl, key, concurrency = unpack(call('HMGET', job, 'ttl', 'rate_limit_key', 'rate_limit_concurrency'))
  call('HSET', job, 'enqueued_at', ENQUEUED_AT, 'started_at', '', 'ended_at', '', 'past', 1)
  ttl, concurrency = count_of(ttl), count_of(concurrency)
  if ttl then call('EXPIRE', job, ttl) else call('PERSIST', job) end
  if key and concurrency then
    wait_for_place(id, job, key, concurrency, false)
  else
    push(id, job, origin, false)
  end
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
