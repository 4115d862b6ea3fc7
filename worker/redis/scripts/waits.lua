-- Return how many jobs stand on queues, and since when the one stands there that came first. Changes nothing.
-- KEYS: none. ARGV: prefix, '' (no single worker), queue names…
-- Returns for each queue {length, id at the head ('' = none), enqueued_at of the job that waits longest ('' = unknown)}.
-- Jobs were put on a queue the later the nearer they stand to its tail, but those that were put at its head: these stand
-- before the others, the last one first. So the time falls and then rises along the queue. A sample shows where it is
-- lowest, and halving finds the place, without a look at every job.
local SAMPLE = 16

local function look(list)
  local length, oldest, times = call('LLEN', list), '', {}
  local function time_of(index)
    if not times[index] then
      local id = call('LINDEX', list, index)
      local answer = id and redis.pcall('HGET', P .. ':job:' .. id, 'enqueued_at')
      local time = type(answer) == 'string' and string.match(answer, '^%d%d%d%d%-%d%d%-%d%dT[%d:.]+Z$')
      times[index] = time or '~' -- later than any date
      if time and (oldest == '' or time < oldest) then oldest = time end
    end
    return times[index]
  end
  local step, lowest = math.max(1, math.floor(length / SAMPLE)), 0
  for index = 0, length - 1, step do
    if time_of(index) < time_of(lowest) then lowest = index end
  end
  if length > 0 then time_of(length - 1) end
  local low, high = math.max(0, lowest - step), math.min(length - 1, lowest + step)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if time_of(middle) <= time_of(middle + 1) then high = middle else low = middle + 1 end
  end
  return {length, call('LINDEX', list, 0) or '', oldest}
end

local reply = {}
for at = 3, #ARGV do
  local well, answer = pcall(look, P .. ':queue:' .. ARGV[at])
  reply[#reply + 1] = well and answer or {0, '', ''}
end
return reply
