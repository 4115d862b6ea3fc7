-- homeless(id): is this job in none of the places that its status promises? It is when a worker or a producer lost the
-- half of what it had to write. Returns status, queue, and a mark of when it got there; nil when it is where it should
-- be, is something else, or cannot be told cheaply: of a queue, only jobs that are older than its head are looked for
-- (the others have not had their turn), and no more than MOST_STEPS ids are passed on the way in one call.
-- Touches besides the keys of _common.lua: P:queue:<q>:intermediate list (RQ's, between pop and start).
local MOST_STEPS, steps = 500000, 0

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

local function homeless(id)
  local job = P .. ':job:' .. id
  if call('TYPE', job).ok ~= 'hash' then return nil end
  local status, origin, worker, enqueued, started, beat = unpack(call('HMGET', job, 'status', 'origin', 'worker_name',
    'enqueued_at', 'started_at', 'last_heartbeat'))
  if not status or (origin or '') == '' then return nil end
  enqueued = enqueued or ''
  local mark = table.concat({status, enqueued, started or '', beat or ''}, '|')
  local queue = P .. ':queue:' .. origin
  if status == 'queued' then
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
  else
    return nil
  end
  return status, origin, mark
end
