-- Find claims on the queues ARGV[4…], and in P:origins, whose worker is gone. P:origins (a set) names queues to which
-- claimed jobs belong although the jobs' workers do not serve them, because the jobs were moved.
-- A worker of ours is dead when its hash has expired: claims shorten its life to seconds, heartbeats prolong it.
-- Executions of plain RQ workers (their names do not begin with ARGV[3], the mark of our executions) follow RQ's own
-- rules: one is abandoned when its lease is over. Each is given to a made-up worker, so that it is rescued alone.
-- One call looks at PAGE claims; the next one goes on behind them.
-- KEYS: none.
-- ARGV: prefix, '' (no single worker), mark, longest life of a worker that holds claims (s), the latest time that this
--   server's clock can show, queue to go on with ('' = the first), rank among its claims, queue names…
-- Returns {number of claims that our living workers hold, {dead worker…}, {made-up worker of an abandoned claim…}, time, queue
-- to go on with ('' = that was all), rank}.
-- A clock that was set forth has ended the lives of living workers: nothing is looked at, and the number is -1. A clock
-- that was set back has prolonged those of the dead: they are cut back to what they may be.
-- While that number is 0, no worker can leave claims behind. A claim of ours whose execution record has expired too
-- belongs to a worker named `lost`.
go_on_without_memory()
local PAGE = 1000
local living, gone, dead, abandoned = 0, {}, {}, {}
local moment = string.format('%d.%06d', NOW, NOW_US)
if tonumber(moment) > (tonumber(ARGV[5]) or math.huge) then return {-1, {}, {}, moment, '', 0} end

-- Whether the job still says that it belongs to this queue. A job that was moved has its next run there, and what is left
-- here would be looked at for ever.
local function belongs(queue, id)
  local job = P .. ':job:' .. id
  local origin = field(job, 'origin') or ''
  if origin == '' and field(job, 'status') == 'started' then
    call('HSET', job, 'origin', queue)
    return true
  end
  return origin == queue
end

local function look(queue, member, id)
  local name = field(P .. ':execution:' .. member, 'worker_name') or 'lost'
  if gone[name] == nil then
    local left = call('TTL', P .. ':worker:' .. name)
    if left > tonumber(ARGV[4]) then call('EXPIRE', P .. ':worker:' .. name, ARGV[4]) end
    gone[name] = left == -2
    if gone[name] then dead[#dead + 1] = name end
  end
  if gone[name] then
    if not belongs(queue, id) then call('ZREM', P .. ':wip:' .. queue, member) end
    make_room(P .. ':worker:' .. name .. ':executions', 'set')
    call('SADD', P .. ':worker:' .. name .. ':executions', member)
  else
    living = living + 1
  end
end

local function look_by_rqs_rules(queue, member, id, execution)
  if field(P .. ':job:' .. id, 'status') ~= 'started' or not belongs(queue, id) then -- left over
    call('ZREM', P .. ':wip:' .. queue, member)
    return
  end
  local name = 'abandoned.' .. execution
  call('SADD', P .. ':worker:' .. name .. ':executions', member)
  abandoned[#abandoned + 1] = name
end

local queues, others = {unpack(ARGV, 8)}, {}
make_room(P .. ':origins', 'set')
for _, origin in ipairs(call('SMEMBERS', P .. ':origins')) do
  if call('EXISTS', P .. ':wip:' .. origin) == 0 then
    call('SREM', P .. ':origins', origin)
  else
    others[#others + 1] = origin
  end
end
table.sort(others)
for _, origin in ipairs(others) do queues[#queues + 1] = origin end
local from, rank, left = ARGV[6], tonumber(ARGV[7]), PAGE
for _, queue in ipairs(queues) do
  if queue == from then from = '' end
  if from == '' then
    local members = redis.pcall('ZRANGE', P .. ':wip:' .. queue, rank, rank + left - 1, 'WITHSCORES')
    if members.err then -- the claims of the other queues are looked at
      if not wrong_type(members) then raise(members) end
      members = {}
    end
    left = left - #members / 2
    local before = #members > 0 and call('ZCARD', P .. ':wip:' .. queue)
    for i = 1, #members, 2 do
      local id, execution = string.match(members[i], '^(.*):([^:]*)$')
      if id and string.sub(execution, 1, #ARGV[3]) == ARGV[3] then
        look(queue, members[i], id)
      elseif id and (tonumber(members[i + 1]) or math.huge) <= NOW then -- 'inf': a job without a timeout
        look_by_rqs_rules(queue, members[i], id, execution)
      end
    end
    if left < 1 then -- behind those that are still there
      rank = rank + #members / 2 - (before - call('ZCARD', P .. ':wip:' .. queue))
      return {living, dead, abandoned, moment, queue, rank}
    end
    rank = 0
  end
end
return {living, dead, abandoned, moment, '', 0}
