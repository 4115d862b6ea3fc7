-- Keep RQ's registries in order, some steps a call: drop what has expired from finished and failed, forget workers that
-- are gone, and enqueue jobs whose last dependency has ended without enqueueing them, because its worker died or lost
-- Redis before it could. Safe to do twice.
-- KEYS: none. ARGV: prefix, '' (no single worker), queue to go on with ('' = the first), rank among its deferred jobs,
--   seconds for which other instances skip their passes (0 = they need not), called for (1 = do not skip this pass).
--   P:deferred|ready:<q> zsets, by when they came there · P:maintained string, expires
--   P:job::<id>:dependencies and P:job:<id>:dependents sets
-- Returns {queue to go on with ('' = that was all), rank, 1 if there are rate limits or groups, {id, status, queue}…}:
-- the jobs that were enqueued.
go_on_without_memory()
local SPARED_SECONDS = 3600 -- more than anybody asks for
local MOST, ENQUEUEING = 1000, 10 -- steps a call, and for a job that is enqueued: some ms of the server's time
local SETTLED_SECONDS = 60 -- a living worker needs milliseconds between the end of a job and the next step
local steps = 0
local settled = utc(SETTLED_SECONDS * 1000000)
local reply = {'', 0, call('EXISTS', P .. ':rl-keys', P .. ':groups')}
if ARGV[3] == '' then
  local spared = call('TTL', P .. ':maintained')
  if ARGV[6] ~= '1' and spared >= 0 and spared <= SPARED_SECONDS then return {'', 0, 0} end -- else: the clock was set back
  if ARGV[5] ~= '0' then call('SET', P .. ':maintained', 1, 'EX', ARGV[5]) end
end

-- Scores are the times of expiry, '+inf' or -1 for entries that never expire. Drop a bounded number of expired ones.
local function trim(registry)
  local first = call('ZCOUNT', registry, '-inf', '(0')
  local expired = math.min(call('ZCOUNT', registry, 0, NOW), 10 * MOST)
  if expired > 0 then call('ZREMRANGEBYRANK', registry, first, first + expired - 1) end
  steps = steps + expired / 10
end

local function forget_workers(registry)
  for _, worker in ipairs(call('SMEMBERS', registry)) do
    if call('EXISTS', worker) == 0 then call('SREM', registry, worker) end
  end
end

-- Whether every job that this one waits for has succeeded, or failed where that is allowed. One that is gone may have
-- failed, so its dependents stay where they are.
local function met(id)
  local parents = call('SMEMBERS', P .. ':job::' .. id .. ':dependencies')
  local allowed = call('HGET', P .. ':job:' .. id, 'allow_dependency_failures') == '1'
  steps = steps + #parents
  for _, parent in ipairs(parents) do
    local status, ended_at = unpack(call('HMGET', P .. ':job:' .. parent, 'status', 'ended_at'))
    if not (status == 'finished' or (status == 'failed' and allowed)) then return false end
    if (ended_at or '') == '' or ended_at > settled then return false end
  end
  return #parents > 0
end

-- Enqueue a job of `registry`, if it has that status and waits for nothing. Returns whether it was taken off.
local function go_on(registry, queue, id, status)
  local is = call('HGET', P .. ':job:' .. id, 'status')
  if is and status == 'deferred' and (is ~= status or not met(id)) then return false end
  if is == status then
    if status == 'deferred' then -- or a plain RQ worker that still ends one of its parents would enqueue it again
      for _, parent in ipairs(call('SMEMBERS', P .. ':job::' .. id .. ':dependencies')) do
        call('SREM', P .. ':job:' .. parent .. ':dependents', id)
      end
    end
    enqueue(id, queue, registry)
    steps = steps + ENQUEUEING
    reply[#reply + 1] = {id, status, queue}
  else
    call('ZREM', registry, id)
  end
  return true
end

local names = call('SMEMBERS', P .. ':queues')
table.sort(names)
if ARGV[3] == '' then forget_workers(P .. ':workers') end
for _, key in ipairs(names) do
  local queue = string.sub(key, #P + 8)
  if queue >= ARGV[3] then
    local rank = queue == ARGV[3] and tonumber(ARGV[4]) or 0
    if rank == 0 then
      forget_workers(P .. ':workers:' .. queue)
      trim(P .. ':finished:' .. queue)
      trim(P .. ':failed:' .. queue)
      local ready = P .. ':ready:' .. queue
      while steps < MOST do
        local id = call('ZRANGEBYSCORE', ready, '-inf', NOW - SETTLED_SECONDS, 'LIMIT', 0, 1)[1]
        if not id then break end
        go_on(ready, queue, id, 'ready_to_enqueue')
        steps = steps + 1
      end
    end
    local deferred = P .. ':deferred:' .. queue
    while steps < MOST do
      local id = call('ZRANGE', deferred, rank, rank)[1]
      if not id then break end
      if not go_on(deferred, queue, id, 'deferred') then rank = rank + 1 end
      steps = steps + 1
    end
    if steps >= MOST then
      reply[1], reply[2] = queue, rank
      return reply
    end
  end
end
return reply
