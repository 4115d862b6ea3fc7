-- Settle a batch of jobs that returned, then claim the next ones in the same call.
-- KEYS: the queues to claim from, as in claim.lua.
-- ARGV: prefix, worker, want, token, counter, lease, busy_ttl, idle_ttl, dead-letter queue, company, number of queues, queue names,
--   then eight values a job: id, execution, origin, started ago (µs), ended ago (µs), result_ttl (s; 0 = keep nothing,
--   -1 = for ever), return value as RQ stores it in the results stream ('' = None), 1 if the job is in a group.
-- Returns {claim reply, {fenced execution…}, {unsettled execution…}}. Fenced: the claim was lost, the outcome is dropped. Unsettled:
-- the job has dependents (or leaves a group), which RQ's own code must finish; its claim is still ours.
local queue_count = tonumber(ARGV[11])
local queues = {unpack(ARGV, 12, 11 + queue_count)}
local fenced, unsettled = {}, {}
local succeeded, busy_us = 0, 0
local members, executions = {EXECUTIONS_KEY}, {}

for at = 12 + queue_count, #ARGV, 8 do
  local id, execution, origin = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local started, ended, ttl, value = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), ARGV[at + 6]
  local job, member = P .. ':job:' .. id, id .. ':' .. execution
  local known = call('EXISTS', job, job .. ':dependents')
  if known == 2 or (ttl == 0 and ARGV[at + 7] == '1') then
    unsettled[#unsettled + 1] = execution
  elseif not take(origin, id, execution) then
    fenced[#fenced + 1] = execution
  else
    succeeded, busy_us = succeeded + 1, busy_us + started - ended
    members[#members + 1] = member
    executions[#executions + 1] = P .. ':execution:' .. member
    call('ZREM', P .. ':executions:' .. id, execution)
    if ttl == 0 or known == 0 then
      call('DEL', job, P .. ':results:' .. id, P .. ':job::' .. id .. ':dependencies')
    else
      local results = P .. ':results:' .. id
      local fields = {'type', '1', 'worker_name', W, 'execution_id', execution,
        'execution_started_at', timestamp(started), 'execution_ended_at', timestamp(ended)}
      if value ~= '' then
        fields[#fields + 1], fields[#fields + 2] = 'return_value', value
      end
      call('XADD', results, 'MAXLEN', '~', '10', '*', unpack(fields))
      local ended_at = utc(ended)
      call('HSET', job, 'status', 'finished', 'started_at', utc(started), 'ended_at', ended_at,
        'last_heartbeat', ended_at)
      if ttl > 0 then
        call('EXPIRE', results, ttl)
        call('EXPIRE', job, ttl)
        call('ZADD', P .. ':finished:' .. origin, NOW + ttl, id)
      else
        call('PERSIST', results)
        call('ZADD', P .. ':finished:' .. origin, '+inf', id)
      end
    end
  end
end

if succeeded > 0 then
  call('SREM', unpack(members))
  call('DEL', unpack(executions))
  if REGISTERED == 1 then
    call('HINCRBY', WORKER_KEY, 'successful_job_count', succeeded)
    call('HINCRBYFLOAT', WORKER_KEY, 'total_working_time', string.format('%.6f', busy_us / 1000000))
  end
end
return {claim(queues, tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]),
  tonumber(ARGV[8]), ARGV[9], ARGV[10]), fenced, unsettled}
