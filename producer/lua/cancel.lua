-- Cancel a job as RQ's Job.cancel does, and the callbacks that wait for it. Its place under a rate limit goes to the next.
-- KEYS: job. ARGV: id, prefix, moment (RQ's date).
-- Returns {outcome, status}; outcome: canceled, over (it had ended) or missing.
local call = redis.call
local id, P, clock = ARGV[1], ARGV[2], call('TIME')
local status, origin, limit = unpack(call('HMGET', KEYS[1], 'status', 'origin', 'rate_limit_key'))
if not origin then return {'missing', ''} end
if status == 'finished' or status == 'failed' or status == 'stopped' or status == 'canceled' then
  return {'over', status}
end
call('HSET', KEYS[1], 'status', 'canceled')
call('LREM', P .. ':queue:' .. origin, 1, id)
call('ZREM', P .. ':deferred:' .. origin, id)
call('ZREM', P .. ':scheduled:' .. origin, id)
local runs = false
local executions = call('ZRANGE', P .. ':executions:' .. id, 0, -1, 'WITHSCORES')
for at = 1, #executions, 2 do
  call('ZREM', P .. ':wip:' .. origin, id .. ':' .. executions[at])
  runs = runs or tonumber(executions[at + 1]) > tonumber(clock[1])
end
call('ZADD', P .. ':canceled:' .. origin, clock[1], id)
for _, callback in ipairs(call('SMEMBERS', KEYS[1] .. ':dependents')) do
  local key = P .. ':job:' .. callback
  if string.sub(callback, 1, 9) == 'callback-' and call('HGET', key, 'status') == 'deferred' then
    local queue = call('HGET', key, 'origin')
    call('HSET', key, 'status', 'canceled')
    call('ZREM', P .. ':deferred:' .. queue, callback)
    call('ZADD', P .. ':canceled:' .. queue, clock[1], callback)
  end
end
if limit then
  local rl = P .. ':rl:' .. limit
  call('ZREM', rl .. ':rate_limited', id)
  -- a job that runs keeps its place until its run ends
  if not runs and call('ZREM', rl .. ':allowed', id) == 1 then
    local concurrency = tonumber(call('HGET', rl, 'concurrency') or '')
    if concurrency then give_places(P, limit, concurrency, string.format('%d.%06d', clock[1], clock[2]), ARGV[3]) end
  end
end
return {'canceled', 'canceled'}
