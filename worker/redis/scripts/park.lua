-- Put claimed jobs of paused functions aside: each waits, in the order of the claims, on the list of its function and queue.
-- KEYS: none. Touches besides those of _common.lua: those of _pauses.lua, and a job's field `parked`: the moment and the
--   name of the claim, by which the jobs of several workers are kept in order.
-- ARGV: prefix, worker, then five values a claim: id, execution, origin, queue, function.
-- Returns for each 1 = it waits there now, 0 = the function is not paused (any more): run it, -1 = it is not ours any more.
go_on_without_memory()
local rules, replies = pause_rules(), {}
local found = rules.pauses(W)

-- Put an id on a list behind all that were claimed before it; others may have put later ones there already. These move
-- one place on each, and stand there twice rather than not at all meanwhile.
local function insert(list, id, mark)
  local later = {}
  while true do
    local last = call('LINDEX', list, -1 - #later)
    if last == id then return end -- a refused call has put it there
    if not last or (field(P .. ':job:' .. last, 'parked') or '') <= mark then break end
    later[#later + 1] = last
  end
  call('RPUSH', list, later[1] or id)
  local moved = 1
  local well, problem = pcall(function()
    for at = 2, #later + 1 do
      call('LSET', list, -at, later[at] or id)
      moved = at
    end
  end)
  if not well then
    for at = moved, 2, -1 do redis.pcall('LSET', list, -at, later[at - 1]) end
    redis.pcall('LREM', list, -1, later[1])
    raise(problem)
  end
end

local function park(id, execution, origin, queue, name)
  if not rules.is_paused(found, name, queue) then return 0 end
  if not ours(origin, id, execution) then return -1 end
  local job, list = P .. ':job:' .. id, rules.parked_list(queue, name)
  local status, started, ttl, before = unpack(call('HMGET', job, 'status', 'started_at', 'ttl', 'parked'))
  if not status then -- it was deleted
    give_up(origin, id, execution)
    return -1
  end
  local mark = (started or '') .. ' ' .. execution
  if before and string.sub(before, -#execution) == execution then mark = before end -- a refused call has written it
  call('SADD', PARKED, name .. ' ' .. queue)
  note('SADD', P .. ':queues', list)
  call('HSET', job, 'status', 'queued', 'started_at', '', 'last_heartbeat', '', 'worker_name', '', 'parked', mark)
  if count_of(ttl) then call('EXPIRE', job, ttl) end
  insert(list, id, mark)
  give_up(origin, id, execution, function() redis.pcall('LREM', list, -1, id) end)
  return 1
end

for at = 3, #ARGV, 5 do
  replies[#replies + 1] = park(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
end
return replies
