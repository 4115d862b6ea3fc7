-- Keep workers and their claims alive.
-- KEYS: none.
-- ARGV: prefix, '' (no single worker), lease (s), busy_ttl (s), idle_ttl (s), then the workers' names, each with the
--   memory that it uses (MB, '' = unknown), which its record shows to people.
-- How long a worker lives without a further heartbeat depends on whether it holds claims. This is decided here and not
-- by the caller, whose view may be old: a dead worker that seems alive keeps its claims from being rescued.
-- A worker whose hash is gone (it expired during an outage, or the server lost its data) gets a new one at once,
-- because without one rescuers take it for dead. Returns the names of those: they must write the rest of their record
-- again.
local lost = {}
go_on_without_memory()
local lease = tonumber(ARGV[3])
local date, stamp = utc(0)
for at = 6, #ARGV, 2 do
  local name, memory = ARGV[at], ARGV[at + 1]
  local key = P .. ':worker:' .. name
  call('HSET', key, 'last_heartbeat', date)
  if memory ~= '' then call('HSET', key, 'memory_mb', memory) end
  call('EXPIRE', key, call('EXISTS', key .. ':executions') == 1 and ARGV[4] or ARGV[5])
  if call('HEXISTS', key, 'birth') == 0 then
    call('SADD', P .. ':workers', key)
    lost[#lost + 1] = name
  end
  for _, member in ipairs(call('SMEMBERS', key .. ':executions')) do
    local id, execution = string.match(member, '^(.*):([^:]*)$')
    local job = P .. ':job:' .. id
    local origin = call('HGET', job, 'origin')
    if origin and (call('ZSCORE', P .. ':wip:' .. origin, member) or call('HGET', job, 'status') == 'canceled') then
      call('ZADD', P .. ':wip:' .. origin, 'XX', NOW + lease, member)
      call('ZADD', P .. ':executions:' .. id, NOW + lease + 60, execution)
      call('EXPIRE', P .. ':executions:' .. id, lease + 60)
      call('HSET', P .. ':execution:' .. member, 'id', execution, 'job_id', id, 'last_heartbeat', stamp,
        'worker_name', name)
      call('HSETNX', P .. ':execution:' .. member, 'created_at', stamp)
      call('EXPIRE', P .. ':execution:' .. member, lease)
      call('HSET', job, 'last_heartbeat', date)
    end
  end
end
return lost
