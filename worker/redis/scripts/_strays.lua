-- stray(id): a job is astray when it is in none of the places that its status promises: a worker or a producer died
-- between two writes. Returns status, queue, and a mark that changes when the job moves; nil when the job is where it
-- should be, has another status, or looking would cost too much. On a queue only jobs older than its head are looked
-- for (younger ones have not had their turn), and one call passes at most MOST_STEPS ids.
-- A job that waits for its moment is at home with RQ's scheduler or with rq-scheduler (`django_rq.get_scheduler()`), whose
-- set has one name whatever the prefix is; where that may not be read, or is on another node, the job is not in it.
-- Touches besides the keys of _common.lua: P:queue:<q>:intermediate list (RQ's, between pop and start).
local MOST_STEPS, steps = 50000, 0

local function claimed(id, origin)
  local executions = call('ZRANGE', P .. ':executions:' .. id, 0, -1)
  for _, execution in ipairs(executions) do
    if call('ZSCORE', P .. ':wip:' .. origin, id .. ':' .. execution) then return true end
  end
  for _, member in ipairs(call('ZRANGE', P .. ':wip:' .. origin, 0, 9999)) do -- the list of executions may have expired
    if string.sub(member, 1, #id + 1) == id .. ':' then return true end
  end
  return false
end

local function stray(id)
  local job = P .. ':job:' .. id
  if call('TYPE', job).ok ~= 'hash' then return nil end
  local status, origin, worker, enqueued, started, beat = unpack(call('HMGET', job, 'status', 'origin', 'worker_name',
    'enqueued_at', 'started_at', 'last_heartbeat'))
  if not status or (origin or '') == '' then return nil end
  enqueued = enqueued or ''
  local mark = table.concat({status, enqueued, started or '', beat or ''}, '|')
  local queue = P .. ':queue:' .. origin
  if status == 'queued' then
    if pause_rules().stands_aside(id) then return nil end
    local head = call('LINDEX', queue, 0)
    if head then
      if head == id or enqueued >= (call('HGET', P .. ':job:' .. head, 'enqueued_at') or '') then return nil end
      steps = steps + call('LLEN', queue)
      if steps > MOST_STEPS or call('LPOS', queue, id) then return nil end
    end
  elseif status == 'started' then
    if worker == 'sync' or claimed(id, origin) then return nil end -- 'sync': its producer runs it itself
  elseif status == 'scheduled' then
    if call('ZSCORE', P .. ':scheduled:' .. origin, id) then return nil end
    if type(optional('ZSCORE', 'rq:scheduler:scheduled_jobs', id)) == 'string' then return nil end
  else
    return nil
  end
  return status, origin, mark
end
