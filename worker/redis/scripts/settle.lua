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

local deleted, kept = {}, {}
-- Origin → what is done about its jobs: `finished`, `held`, `members` and `gone` are for commands, `ids` and
-- `results` (ids in their streams) for taking it back.
local ends = {}

local function settle()
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
      local its = ends[origin]
      if not its then
        its = {finished = {P .. ':finished:' .. origin}, held = {P .. ':wip:' .. origin}, members = {EXECUTIONS_KEY},
          gone = {}, ids = {}, results = {}, busy_us = 0}
        ends[origin] = its
        call('ZREM', its.held[1], '') -- to be refused, if it is, before anything is written
      end
      local gone = its.gone
      its.busy_us = its.busy_us + started - ended
      its.held[#its.held + 1], its.members[#its.members + 1] = member, member
      gone[#gone + 1], gone[#gone + 2] = P .. ':execution:' .. member, P .. ':executions:' .. id
      local results = P .. ':results:' .. id
      if flags ~= '' and string.find(flags, 'j', 1, true) then
        deleted[#deleted + 1] = P .. ':journal:' .. id
        kept[#kept + 1] = job
      end
      if ttl == '0' or exists == 0 then
        deleted[#deleted + 1], deleted[#deleted + 2] = job, results
        deleted[#deleted + 1] = P .. ':job::' .. id .. ':dependencies'
      else
        local started_at, started_stamp = utc(started)
        local ended_at, ended_stamp = utc(ended)
        local again = flags ~= '' and string.find(flags, 'r', 1, true)
        local ids, added = its.ids, nil
        ids[#ids + 1] = id
        if ARGV[at + 6] ~= '' then
          added = add_result(id, execution, again, 'type', '1', 'worker_name', W, 'return_value', ARGV[at + 6],
            'execution_id', execution, 'execution_started_at', started_stamp, 'execution_ended_at', ended_stamp)
        else
          added = add_result(id, execution, again, 'type', '1', 'worker_name', W,
            'execution_id', execution, 'execution_started_at', started_stamp, 'execution_ended_at', ended_stamp)
        end
        its.results[#ids] = added
        call('HSET', job, 'status', 'finished', 'started_at', started_at, 'ended_at', ended_at, 'last_heartbeat', ended_at)
        if flags ~= '' and string.find(flags, 'p', 1, true) then call('HSET', job, 'past', 1) end
        local entries, score = its.finished, '+inf'
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
  for _, its in pairs(ends) do
    if #its.finished > 1 then note('ZADD', unpack(its.finished)) end
  end
  for _, job in ipairs(kept) do call('HDEL', job, 'journal') end
  if #deleted > 0 then call('DEL', unpack(deleted)) end
  for _, its in pairs(ends) do
    call('ZREM', unpack(its.held)) -- from here on they are settled
    its.settled = true
  end
end

local well, problem = pcall(settle)
for _, its in pairs(ends) do
  if its.settled then
    tidy(call, 'DEL', unpack(its.gone))
    tidy(call, 'SREM', unpack(its.members))
    if REGISTERED == 1 then
      tidy(call, 'HINCRBY', WORKER_KEY, 'successful_job_count', #its.held - 1)
      tidy(call, 'HINCRBYFLOAT', WORKER_KEY, 'total_working_time', string.format('%.6f', its.busy_us / 1000000))
    end
  else
    for at, id in ipairs(its.ids) do take_end_back(id, its.finished[1], its.results[at]) end
  end
end
if not well then raise(problem) end
local claimed_well, reply = pcall(claim, queues, ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10])
if not claimed_well then reply = {0, 1, 0, type(reply) == 'table' and reply.err or tostring(reply), tostring(NOW), ''} end
return {reply, fenced, unsettled}
