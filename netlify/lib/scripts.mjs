/**
 * The producer's Lua scripts. The text is that of producer/scripts.py, where it is explained.
 * @module
 */

export const ENQUEUE = `-- Enqueue a job once, whatever gets lost on the way, perhaps behind a cache and a rate limit.
-- KEYS: job, queue, set of queues[, cache entry[, rate counter]].
-- ARGV: id, queue's name, prefix, side (L or R), ttl ('' = none), run it again if it ended so many seconds ago or more
--   ('' = never), call's token, freshness (least seconds that a fresh cache entry has left; '' = no cache),
--   limit ('' = none), window (s), number of job fields n, n fields and values, callback's id ('' = none), its fields
--   and values. No clock but this server's is asked how long ago a job ended.
-- Returns {outcome, id, status, cached value, seconds to wait}; outcome: created, known, fresh or limited.
local call = redis.call
local id, name, P, side, ttl, after, token, freshness, limit, window = unpack(ARGV, 1, 10)
local job, fields_end = KEYS[1], 11 + tonumber(ARGV[11])
-- utc(ago): the moment so many seconds ago as RQ's date (after Howard Hinnant's chrono algorithms).
local function utc(ago)
  local clock, floor = call('TIME'), math.floor
  local total = clock[1] * 1000000 + clock[2] - floor(ago * 1000000)
  local seconds = floor(total / 1000000)
  local z, rest = floor(seconds / 86400) + 719468, seconds % 86400
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', yoe + era * 400 + (month <= 2 and 1 or 0), month,
    doy - floor((153 * mp + 2) / 5) + 1, floor(rest / 3600), floor(rest / 60) % 60, rest % 60,
    total - seconds * 1000000)
end
if limit ~= '' then
  local count = call('INCR', KEYS[5])
  if count == 1 then call('EXPIRE', KEYS[5], window) end
  if count > tonumber(limit) then return {'limited', id, '', false, call('TTL', KEYS[5])} end
end
local cached = false
if freshness ~= '' then
  cached = call('GET', KEYS[4])
  if cached and call('TTL', KEYS[4]) >= tonumber(freshness) then return {'fresh', id, '', cached, 0} end
end
local status, origin, ended, by, data = unpack(call('HMGET', job, 'status', 'origin', 'ended_at', 'call', 'data'))
local over = status == 'finished' or status == 'failed' or status == 'stopped' or status == 'canceled'
local again = over and after ~= '' and by ~= token and (ended or '') <= utc(tonumber(after))
local outcome = 'known'
if again then
  for _, registry in ipairs({'finished', 'failed', 'canceled'}) do
    call('ZREM', P .. ':' .. registry .. ':' .. (origin or name), id)
  end
  call('HDEL', job, 'meta', 'number_of_retries', 'retries_left', 'retry_intervals', 'enqueue_at_front_on_retry',
    'enqueue_at_front', 'result_ttl', 'failure_ttl', 'ttl')
  call('PERSIST', job)
end
if again or not (status or data) then
  call('HSET', job, unpack(ARGV, 12, fields_end))
  if ttl ~= '' then call('EXPIRE', job, ttl) end
  call('SADD', KEYS[3], KEYS[2])
  call(side .. 'PUSH', KEYS[2], id)
  outcome, status, over = 'created', 'queued', false
end
local callback = ARGV[fields_end + 1]
if callback ~= '' and call('EXISTS', P .. ':job:' .. callback) == 0 then
  call('HSET', P .. ':job:' .. callback, unpack(ARGV, fields_end + 2))
  if over then
    call('HSET', P .. ':job:' .. callback, 'status', 'queued')
    call('SADD', KEYS[3], KEYS[2])
    call('RPUSH', KEYS[2], callback)
  else
    call('SADD', job .. ':dependents', callback)
    call('PERSIST', job .. ':dependents') -- an earlier run of the job may have given it seconds to live
    call('SADD', P .. ':job::' .. callback .. ':dependencies', id)
    call('ZADD', P .. ':deferred:' .. name, call('TIME')[1], callback)
  end
end
return {outcome, id, status or 'queued', cached, 0}
`;

export const CANCEL = `-- Cancel a job as RQ's Job.cancel does, and the callbacks that wait for it.
-- KEYS: job. ARGV: id, prefix.
-- Returns {outcome, status}; outcome: canceled, over (it had ended), missing, or limited (only RQ can cancel a job with
-- a rate limit, because another job takes its slot).
local call = redis.call
local id, P, now = ARGV[1], ARGV[2], call('TIME')[1]
local status, origin, limited = unpack(call('HMGET', KEYS[1], 'status', 'origin', 'rate_limit_key'))
if not origin then return {'missing', ''} end
if status == 'finished' or status == 'failed' or status == 'stopped' or status == 'canceled' then
  return {'over', status}
end
if limited then return {'limited', status} end
call('HSET', KEYS[1], 'status', 'canceled')
call('LREM', P .. ':queue:' .. origin, 1, id)
call('ZREM', P .. ':deferred:' .. origin, id)
call('ZREM', P .. ':scheduled:' .. origin, id)
for _, execution in ipairs(call('ZRANGE', P .. ':executions:' .. id, 0, -1)) do
  call('ZREM', P .. ':wip:' .. origin, id .. ':' .. execution)
end
call('ZADD', P .. ':canceled:' .. origin, now, id)
for _, callback in ipairs(call('SMEMBERS', KEYS[1] .. ':dependents')) do
  local key = P .. ':job:' .. callback
  if string.sub(callback, 1, 9) == 'callback-' and call('HGET', key, 'status') == 'deferred' then
    local queue = call('HGET', key, 'origin')
    call('HSET', key, 'status', 'canceled')
    call('ZREM', P .. ':deferred:' .. queue, callback)
    call('ZADD', P .. ':canceled:' .. queue, now, callback)
  end
end
return {'canceled', 'canceled'}
`;

export const READ = `-- Read a job's state unless the caller has used up his calls.
-- KEYS: job, its results, rate counter. ARGV: limit, window (s), names of job fields.
-- Returns {'read', values, newest result} or {'limited', seconds to wait}.
local call = redis.call
local count = call('INCR', KEYS[3])
if count == 1 then call('EXPIRE', KEYS[3], ARGV[2]) end
if count > tonumber(ARGV[1]) then return {'limited', call('TTL', KEYS[3])} end
return {'read', call('HMGET', KEYS[1], unpack(ARGV, 3)), call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)}
`;
