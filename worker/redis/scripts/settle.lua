-- Settle a batch of jobs that returned, then claim the next ones in the same call.
-- KEYS: the queues to claim from, as in claim.lua.
-- ARGV: prefix, worker, want, token, counter, lease, busy_ttl, idle_ttl, dead-letter queue, others_running, number of
--   queues, queue names,
--   then eight values a job: id, execution, origin, started ago (µs), ended ago (µs), result_ttl (s; 0 = keep nothing,
--   -1 = for ever), return value as RQ stores it in the results stream ('' = None), flags: g = the job is in a group,
--   d = it depended on others, p = its hash tells of failed attempts, which are past now, j = it has a journal, r = this was sent before.
-- Returns {claim reply, {fenced execution…}, {unsettled execution…}}. Fenced: the claim was lost, the outcome is dropped. Unsettled:
-- the job has dependents (or leaves a group), which RQ's own code must finish; its claim is still ours. What has been
-- settled stays settled if the claiming is refused.
go_on_without_memory()
local queue_count = tonumber(ARGV[11])
local queues = {unpack(ARGV, 12, 11 + queue_count)}
local first, last = 12 + queue_count, #ARGV
local fenced, unsettled = {}, {}

-- One command for the whole batch first: as a rule every job still exists and none has dependents.
local jobs, dependents = {}, {}
for at = first, last, 8 do
  local job = P .. ':job:' .. ARGV[at]
  jobs[#jobs + 1], dependents[#dependents + 1] = job, job .. ':dependents'
end
local plain = call('EXISTS', unpack(jobs)) == #jobs and call('EXISTS', unpack(dependents)) == 0

local succeeded, busy_us = 0, 0
local members, gone, finished, held_by = {EXECUTIONS_KEY}, {}, {}, {}
for at = first, last, 8 do
  local id, execution, origin, ttl = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 5]
  local job, member = P .. ':job:' .. id, id .. ':' .. execution
  local exists, waited_for = 1, 0
  if not plain then
    exists, waited_for = call('EXISTS', job), call('EXISTS', job .. ':dependents')
  end
  local flags = ARGV[at + 7]
  if (exists == 1 and waited_for == 1) or (ttl == '0' and string.find(flags, 'g', 1, true)) then
    unsettled[#unsettled + 1] = execution
  elseif not ours(origin, id, execution) then
    fenced[#fenced + 1] = execution
  else
    local started, ended = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
    succeeded, busy_us = succeeded + 1, busy_us + started - ended
    members[#members + 1] = member
    gone[#gone + 1], gone[#gone + 2] = P .. ':execution:' .. member, P .. ':executions:' .. id
    local held = held_by[origin]
    if not held then
      held = {P .. ':wip:' .. origin}
      held_by[origin] = held
    end
    held[#held + 1] = member
    local results = P .. ':results:' .. id
    local journal = flags ~= '' and string.find(flags, 'j', 1, true)
    if journal then gone[#gone + 1] = P .. ':journal:' .. id end
    if ttl == '0' or exists == 0 then
      call('DEL', job, results, P .. ':job::' .. id .. ':dependencies')
    else
      local started_at, started_stamp = utc(started)
      local ended_at, ended_stamp = utc(ended)
      local again = flags ~= '' and string.find(flags, 'r', 1, true)
      if ARGV[at + 6] ~= '' then
        add_result(id, execution, again, 'type', '1', 'worker_name', W, 'return_value', ARGV[at + 6],
          'execution_id', execution, 'execution_started_at', started_stamp, 'execution_ended_at', ended_stamp)
      else
        add_result(id, execution, again, 'type', '1', 'worker_name', W,
          'execution_id', execution, 'execution_started_at', started_stamp, 'execution_ended_at', ended_stamp)
      end
      call('HSET', job, 'status', 'finished', 'started_at', started_at, 'ended_at', ended_at, 'last_heartbeat', ended_at)
      if flags ~= '' and string.find(flags, 'p', 1, true) then call('HSET', job, 'past', 1) end
      if journal then call('HDEL', job, 'journal') end
      local entries, score = finished[origin], '+inf'
      if not entries then
        entries = {P .. ':finished:' .. origin}
        finished[origin] = entries
      end
      if string.sub(ttl, 1, 1) == '-' then
        call('PERSIST', results)
      else
        score = tostring(NOW + tonumber(ttl))
        call('EXPIRE', results, ttl)
        call('EXPIRE', job, ttl)
        if flags ~= '' and string.find(flags, 'd', 1, true) then
          call('EXPIRE', P .. ':job::' .. id .. ':dependencies', ttl)
        end
      end
      entries[#entries + 1], entries[#entries + 2] = score, id
    end
  end
end

if succeeded > 0 then
  for _, entries in pairs(finished) do note('ZADD', unpack(entries)) end
  for _, held in pairs(held_by) do call('ZREM', unpack(held)) end -- from here on they are settled
  tidy(call, 'DEL', unpack(gone))
  tidy(call, 'SREM', unpack(members))
  if REGISTERED == 1 then
    tidy(call, 'HINCRBY', WORKER_KEY, 'successful_job_count', succeeded)
    tidy(call, 'HINCRBYFLOAT', WORKER_KEY, 'total_working_time', string.format('%.6f', busy_us / 1000000))
  end
end
local claimed_well, reply = pcall(claim, queues, ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10])
if not claimed_well then reply = {0, 1, 0, type(reply) == 'table' and reply.err or tostring(reply), tostring(NOW), ''} end
return {reply, fenced, unsettled}
