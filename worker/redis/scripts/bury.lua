-- Fail a job for good and dead-letter it, in one step: there is no moment between "failed" and "dead-lettered".
-- KEYS: none.
-- ARGV: prefix, worker, id, execution, origin, started ago (µs), ended ago (µs), failure_ttl (s; -1 = for ever),
--   dead-letter queue ('' = none), forced (1 = bury it although others depend
--   on it, 2 = and although keys that go with it hold something else), again (1 = this was sent before),
--   traceback as RQ stores it (base64 of zlib), digest of the job's meta as it was read ('' = leave the meta alone), its new meta,
--   then field, value, … to write on the job hash.
-- Returns 1, 0 when the claim was lost, 2 when others must hear of it, which is done by RQ's own code: the job has
-- dependents, webhooks or a rate limit; or the job's meta, when others have written it since: ours is to be put into that.
-- After 2 and the meta nothing was written and the claim is still ours.
local id, execution, origin = ARGV[3], ARGV[4], ARGV[5]
local started, ended, ttl, letters = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local job, again, by_force = P .. ':job:' .. id, ARGV[11] == '1', ARGV[10] == '2'

-- Write what goes with a job. By force, what is refused because a key holds something else is left out.
local function beside(act, ...)
  if not by_force then return act(...) end
  local well, problem = pcall(act, ...)
  if not well and not string.find(type(problem) == 'table' and problem.err or tostring(problem), 'WRONGTYPE', 1, true) then
    raise(problem)
  end
end
go_on_without_memory()
if ARGV[10] == '0' and (call('EXISTS', job .. ':dependents') == 1 or call('HEXISTS', job, 'webhooks') == 1
  or call('HEXISTS', job, 'rate_limit_key') == 1) then return 2 end
if not ours(origin, id, execution) then return 0 end
if ARGV[13] ~= '' and ttl ~= 0 and call('EXISTS', job) == 1 then
  local moved = meta_moved(job, ARGV[13], ARGV[14])
  if moved then return moved end
end
local results, queue, failed = P .. ':results:' .. id, P .. ':queue:' .. letters, P .. ':failed:' .. origin
local result, meta

local function take_back()
  take_end_back(id, failed, result)
  if letters ~= '' then redis.pcall('LREM', queue, -1, id) end
  if meta then redis.pcall('HSET', job, 'meta', meta) end
  redis.pcall('HDEL', job, 'dead_letter', 'buried_at')
end

local function write()
  local started_at, started_stamp = utc(started)
  local ended_at, ended_stamp = utc(ended)
  call('HDEL', job, 'suspect')
  beside(call, 'ZREM', failed, id) -- to be refused, if it is, before anything is written
  beside(function()
    result = add_result(id, execution, again, 'type', '2', 'worker_name', W, 'exc_string', ARGV[12],
      'execution_id', execution, 'execution_started_at', started_stamp, 'execution_ended_at', ended_stamp)
  end)
  if ttl > 0 then
    expire(id, ttl)
    call('EXPIRE', results, ttl)
    call('EXPIRE', P .. ':journal:' .. id, ttl)
    call('EXPIRE', P .. ':log:' .. id, ttl)
    beside(call, 'ZADD', failed, NOW + ttl, id)
  else
    call('PERSIST', results)
    beside(call, 'ZADD', failed, '-1', id)
  end
  if letters ~= '' then
    note('SADD', P .. ':queues', queue)
    -- An id that RQ made up (a UUID) never comes again; one that a producer chose may stand there still, left by a job
    -- that was deleted since. Looking costs a pass over the queue.
    if again or #id ~= 36 then beside(call, 'LREM', queue, 0, id) end
    beside(call, 'RPUSH', queue, id)
  end
  -- The record comes with the status: a job that has one, and is none, would count as replayed, and its crashes begin anew.
  local fields = {unpack(ARGV, 15)}
  if ARGV[13] ~= '' then
    meta = call('HGET', job, 'meta') or ''
    fields[#fields + 1], fields[#fields + 2] = 'meta', ARGV[14]
  end
  call('HSET', job, 'status', 'failed', 'started_at', started_at, 'ended_at', ended_at, 'last_heartbeat', ended_at,
    'buried_at', ended_at, unpack(fields))
end

if ttl == 0 then
  call('DEL', job, results, P .. ':job::' .. id .. ':dependencies', P .. ':journal:' .. id, P .. ':log:' .. id)
  give_up(origin, id, execution)
elseif call('EXISTS', job) == 1 then
  local well, problem = pcall(write)
  if not well then
    take_back()
    raise(problem)
  end
  give_up(origin, id, execution, take_back)
  shrink(results)
else
  give_up(origin, id, execution)
end
tidy(count_failure, started - ended)
return 1
