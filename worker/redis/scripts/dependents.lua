-- Enqueue jobs that wait for one that has ended, some a call. With the last of them what was kept for their sake goes.
-- KEYS: none. ARGV: prefix, '' (no single worker), id of the job that has ended, its end (finished or failed), where to go on
--   ('0' = from the start), how many to look at; then, at the end of all: its time to live (s; '' = stays as it is, 0 =
--   delete it), its own result_ttl ('' = none).
--   P:deferred:<q> zsets, by when the jobs came there
--   P:job::<id>:dependencies and P:job:<id>:dependents sets
-- Returns {where to go on ('0' = that was all), number enqueued}. A job that waits for others, too, stays where it is.
local parent, ended = ARGV[3], ARGV[4]
local waiting = P .. ':job:' .. parent .. ':dependents'
go_on_without_memory()

-- Whether a job has no others to wait for any more. As in RQ at this point, one that is gone has ended.
local function met(others, allowed)
  for _, other in ipairs(others) do
    local status = ended
    if other ~= parent then status = field(P .. ':job:' .. other, 'status') end
    if status and status ~= 'finished' and not (status == 'failed' and allowed) then return false end
  end
  return true
end

local found = call('SSCAN', waiting, ARGV[5], 'COUNT', ARGV[6])
local enqueued = 0
for _, id in ipairs(found[2]) do
  local hash = redis.pcall('HMGET', P .. ':job:' .. id, 'status', 'origin', 'allow_dependency_failures')
  if hash.err then
    if not wrong_type(hash) then raise(hash) end
    hash = {}
  end
  local status, origin, others = hash[1], hash[2], call('SMEMBERS', P .. ':job::' .. id .. ':dependencies')
  local goes_on = status == 'deferred' and origin and met(others, hash[3] == '1')
  if goes_on then
    enqueue(id, origin, P .. ':deferred:' .. origin)
    enqueued = enqueued + 1
  end
  if goes_on or (status ~= 'deferred' and status ~= 'canceled') then
    -- or whoever ends another of its parents would enqueue it again
    for _, other in ipairs(others) do
      call('SREM', P .. ':job:' .. other .. ':dependents', id)
    end
  end
end

local ttl = ARGV[7]
if found[1] == '0' and ttl ~= '' and field(P .. ':job:' .. parent, 'status') == ended then
  local job, results = P .. ':job:' .. parent, P .. ':results:' .. parent
  local registry = P .. ':finished:' .. (field(job, 'origin') or '')
  if ttl == '0' then
    note('ZREM', registry, parent)
    call('DEL', job, results, waiting, P .. ':job::' .. parent .. ':dependencies')
  else
    if ARGV[8] == '' then call('HDEL', job, 'result_ttl') else call('HSET', job, 'result_ttl', ARGV[8]) end
    note('ZADD', registry, 'XX', NOW + tonumber(ttl), parent)
    call('EXPIRE', results, ttl)
    expire(parent, ttl)
  end
end
return {found[1], enqueued}
