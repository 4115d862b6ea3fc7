-- Prepended to the scripts that heed or change pauses (`python -m worker pause`). RQ knows none, so these keys are ours:
--   P:paused hash "<function> <queue>" → "<end, Unix time; 0 = none> <JSON for people>"; either may be '', for all
--   P:parked set of "<function> <queue>": jobs of a paused function that were put aside wait, in order, on the list
--     P:queue:paused:<queue>:<function>, which RQ's tools show as a queue
--   P:resumed list, gone within seconds: whoever waits for the end of a pause blocks on it
-- They come in one function, because each closure costs a claim a part of a microsecond, and most claims need none.
local PAUSED, PARKED, RESUMED = P .. ':paused', P .. ':parked', P .. ':resumed'
local RINGS_SECONDS = 5 -- a consumer that hears of a pause when it is over must still find the bell ringing

local function pause_rules()
  local function parked_list(queue, name)
    return P .. ':queue:paused:' .. queue .. ':' .. name
  end

  -- Wake whoever waits for the end of a pause; `seconds` is for how long those who come later find it ringing.
  local function ring(seconds)
    make_room(RESUMED, 'list')
    call('RPUSH', RESUMED, 1)
    call('EXPIRE', RESUMED, seconds)
  end

  -- Return the pauses that hold, {function, queue, seconds left (-1 = no end)}…; what has ended is dropped. For a `worker`
  -- (or dispatcher) a pause of its instance, whose function is "@<instance>", is one of everything, and those of others none.
  local function pauses(worker)
    local me = worker and '@' .. (string.match(worker, '^(.*)%.[^.]*$') or worker)
    local entries, found, ended = redis.pcall('HGETALL', PAUSED), {}, {}
    if entries.err then
      if not wrong_type(entries) then raise(entries) end
      return found
    end
    for at = 1, #entries, 2 do
      local name, queue = string.match(entries[at], '^(%S*) (.*)$')
      local last = tonumber(string.match(entries[at + 1], '^%d+') or '')
      if name and last then -- else somebody else has written there
        if last == 0 or last > NOW then
          if name == me then name = '' end
          if not worker or string.sub(name, 1, 1) ~= '@' then
            found[#found + 1] = {name, queue, last == 0 and -1 or last - NOW - NOW_US / 1000000}
          end
        else
          ended[#ended + 1] = entries[at]
        end
      end
    end
    if #ended > 0 then
      ring(RINGS_SECONDS)
      call('HDEL', PAUSED, unpack(ended))
    end
    return found
  end

  -- Whether jobs of a function on a queue must wait; '' asks for all jobs of the queue.
  local function is_paused(found, name, queue)
    for _, pause in ipairs(found) do
      if (pause[1] == '' or pause[1] == name) and (pause[2] == '' or pause[2] == queue) then return true end
    end
    return false
  end

  -- Return the functions of jobs that were put aside and may go on, by queue, and the member of P:parked of each.
  local function released(found)
    local members, by_queue = redis.pcall('SMEMBERS', PARKED), {}
    if members.err then
      if not wrong_type(members) then raise(members) end
      return by_queue
    end
    table.sort(members)
    for _, member in ipairs(members) do
      local name, queue = string.match(member, '^(%S+) (.*)$')
      if name and not is_paused(found, name, queue) then
        by_queue[queue] = by_queue[queue] or {}
        table.insert(by_queue[queue], name)
      end
    end
    return by_queue
  end

  -- Forget a list of jobs that were put aside once it is empty.
  local function forget_parked(queue, name)
    local list = parked_list(queue, name)
    if call('EXISTS', list) == 0 then
      call('SREM', PARKED, name .. ' ' .. queue)
      note('SREM', P .. ':queues', list)
    end
  end

  -- Whether a job stands on one of those lists.
  local function stands_aside(id)
    if not field(P .. ':job:' .. id, 'parked') then return false end
    for _, member in ipairs(call('SMEMBERS', PARKED)) do
      local name, queue = string.match(member, '^(%S+) (.*)$')
      if name and call('LPOS', parked_list(queue, name), id) then return true end
    end
    return false
  end

  -- Put the jobs that may go on back where somebody waits for them: on their queue, if that is empty. Claims find the others,
  -- which go before what stands there.
  local function let_go(found)
    for queue, names in pairs(released(found)) do
      local list = P .. ':queue:' .. queue
      for _, name in ipairs(names) do
        local parked = parked_list(queue, name)
        if call('EXISTS', list) == 0 and call('EXISTS', parked) == 1 then
          local reply = optional('RENAME', parked, list)
          if type(reply) == 'table' and reply.err then call('RPUSH', list, '') end -- no job, but it calls the consumers
          note('SADD', P .. ':queues', list)
        end
        forget_parked(queue, name)
      end
    end
  end

  return {
    parked_list = parked_list,
    ring = ring,
    pauses = pauses,
    is_paused = is_paused,
    released = released,
    forget_parked = forget_parked,
    stands_aside = stands_aside,
    let_go = let_go,
  }
end
