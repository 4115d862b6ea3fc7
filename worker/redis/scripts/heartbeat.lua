-- Keep workers and their claims alive. Where these workers hold more than MOST claims, a claim whose record was written less than
-- FRESH seconds ago is left alone, and one call writes MOST at most while their leases last: the server stands still meanwhile.
-- KEYS: none.
-- ARGV: prefix, '' (no single worker), lease (s), busy_ttl (s), idle_ttl (s), then the workers' names, each with the
--   memory that it uses (MB, '' = unknown), which its record shows to people.
-- How long a worker lives without a further heartbeat depends on whether it holds claims. This is decided here and not
-- by the caller, whose view may be old: a dead worker that seems alive keeps its claims from being rescued.
-- A worker whose hash is gone (it expired during an outage, or the server lost its data) gets a new one at once,
-- because without one rescuers take it for dead. Returns the names of those: they must write the rest of their record
-- again.
local FRESH, MOST = 60, 100
local lost, written, held_by_all = {}, 0, 0
go_on_without_memory()
local lease = tonumber(ARGV[3])
local date, stamp = utc(0)

-- Keep one claim. What a key of its job or of its queue refuses because it holds something else keeps no other claim from it.
local function keep(name, member)
  local id, execution = string.match(member, '^(.*):([^:]*)$')
  if not id then return end
  local record = P .. ':execution:' .. member
  local left = call('TTL', record)
  if held_by_all > MOST and (left > lease - FRESH and left <= lease or written >= MOST and left > lease / 2) then return end
  local job = P .. ':job:' .. id
  local origin = field(job, 'origin')
  if not origin then return end
  written = written + 1
  local wip = P .. ':wip:' .. origin
  local held = redis.pcall('ZSCORE', wip, member)
  if type(held) == 'table' and not wrong_type(held) then raise(held) end
  if (held and type(held) ~= 'table') or field(job, 'status') == 'canceled' then
    note('ZADD', wip, 'XX', NOW + lease, member)
    note('ZADD', P .. ':executions:' .. id, NOW + lease + 60, execution)
    call('EXPIRE', P .. ':executions:' .. id, lease + 60)
    note('HSET', record, 'id', execution, 'job_id', id, 'last_heartbeat', stamp, 'worker_name', name)
    note('HSETNX', record, 'created_at', stamp)
    call('EXPIRE', record, lease)
    call('HSET', job, 'last_heartbeat', date)
  end
end

for at = 6, #ARGV, 2 do
  local executions = P .. ':worker:' .. ARGV[at] .. ':executions'
  make_room(executions, 'set')
  held_by_all = held_by_all + call('SCARD', executions)
end
for at = 6, #ARGV, 2 do
  local name, memory = ARGV[at], ARGV[at + 1]
  local key = P .. ':worker:' .. name
  make_room(key, 'hash')
  call('HSET', key, 'last_heartbeat', date)
  if memory ~= '' then call('HSET', key, 'memory_mb', memory) end
  call('EXPIRE', key, call('EXISTS', key .. ':executions') == 1 and ARGV[4] or ARGV[5])
  if call('HEXISTS', key, 'birth') == 0 then
    note('SADD', P .. ':workers', key)
    lost[#lost + 1] = name
  end
  for _, member in ipairs(call('SMEMBERS', key .. ':executions')) do keep(name, member) end
end
return lost
