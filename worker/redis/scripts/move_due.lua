-- Move up to ARGV[3] jobs that are due from the scheduled registries to their queues, in the order they fell due.
-- Read, push and remove are one step: several dispatchers never move a job twice, none is lost between.
-- Where commands are billed one dispatcher looks for all that read the same queues, with `seat` > 0: for so many seconds
-- after its last look the others leave it to that one. P:look:<queues> string: its name, expires
-- KEYS: none. ARGV: prefix, the dispatcher's name, limit, seat (s, 0 = look whoever else does), queue names…
-- Returns {number moved, seconds until the next job is due (-1 = none), lateness of the oldest moved job (s), time, 1 while
-- `rq suspend` holds, paused: function, queue, seconds left (-1 = no end), …, seconds for which another one looks (0 = it was
-- looked)}. Those in the middle are decimals: RQ's scores are whole seconds, this server's clock is not. The end of a pause
-- (_pauses.lua) is due as a job is: jobs that were put aside go on, and whoever waits for it is woken.
local moved, next_due, late = 0, -1, 0
local limit, seat = tonumber(ARGV[3]), tonumber(ARGV[4])
local exact = NOW + NOW_US / 1000000

local function move(queue)
  local registry = P .. ':scheduled:' .. queue
  call('ZREM', registry, '') -- to be refused, if it is, before a job stands on its queue
  local due = call('ZRANGEBYSCORE', registry, '-inf', NOW, 'WITHSCORES', 'LIMIT', 0, limit - moved)
  for i = 1, #due, 2 do
    if call('EXISTS', P .. ':job:' .. due[i]) == 1 then
      enqueue(due[i], queue, registry)
      moved = moved + 1
      late = math.max(late, exact - tonumber(due[i + 1]))
    else
      call('ZREM', registry, due[i])
    end
  end
  local first = call('ZRANGE', registry, 0, 0, 'WITHSCORES')[2]
  if first then
    local wait = math.max(0, tonumber(first) - exact)
    if next_due < 0 or wait < next_due then next_due = wait end
  end
end

local suspended, paused = 0, {}
if call('EXISTS', P .. ':suspended', PAUSED, PARKED) > 0 then
  suspended = call('EXISTS', P .. ':suspended')
  local rules = pause_rules()
  local found = rules.pauses(W)
  for _, pause in ipairs(found) do
    local at = #paused
    paused[at + 1], paused[at + 2], paused[at + 3] = pause[1], pause[2], tostring(pause[3])
    if pause[3] >= 0 and (next_due < 0 or pause[3] < next_due) then next_due = pause[3] end
  end
  rules.let_go(found)
end
local left = 0
if seat > 0 then
  local place = P .. ':look:' .. table.concat(ARGV, ',', 5)
  local holder = redis.pcall('GET', place)
  if type(holder) == 'string' and holder ~= W then left = math.ceil(math.max(0, call('PTTL', place)) / 1000) end
  if left > 3600 then left = 0 end -- more than anybody asks for: this server's clock was set back meanwhile
  if left == 0 then note('SET', place, W, 'EX', seat) end
end
for at = 5, left > 0 and 0 or #ARGV do
  local registry = P .. ':scheduled:' .. ARGV[at]
  local found = call('TYPE', registry).ok
  if found == 'zset' then move(ARGV[at]) end -- what else is there keeps no other queue from its jobs
end
return {moved, tostring(next_due), string.format('%.3f', late), string.format('%d.%06d', NOW, NOW_US), suspended, paused, left}
