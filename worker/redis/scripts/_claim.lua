-- Whether a string is UTF-8: workers decode ids and queue names as such.
local function is_text(s)
  if not string.find(s, '[\128-\255]') then return true end
  for _, pattern in ipairs({'[\194-\223][\128-\191]', '\224[\160-\191][\128-\191]', '\237[\128-\159][\128-\191]',
    '[\225-\236\238\239][\128-\191][\128-\191]', '\240[\144-\191][\128-\191][\128-\191]',
    '[\241-\243][\128-\191][\128-\191][\128-\191]', '\244[\128-\143][\128-\191][\128-\191]'}) do
    s = string.gsub(s, pattern, ' ')
  end
  return not string.find(s, '[\128-\255]')
end

-- claim(queues, want, token, counter, lease, busy_ttl, idle_ttl, letters, others_running): take up to `want` jobs in queue order
-- and write all that RQ's worker writes before it runs one. Numbers come as the texts of ARGV.
-- Returns {suspended, registered, left, problem, time, paused, claim...}, where `left` is how many ids remain on the last queue
-- that was taken from (counted only when the batch is full), `problem` is the first refusal that a queue met ('' = none), `paused`
-- is what is paused, function, queue, seconds left (-1 = no end), … (see _pauses.lua; '' = nobody looked), and a claim is {id,
-- execution, origin, queue, hash}. Paused queues are passed over; whoever gets a job of a paused function puts it aside (park.lua).
-- An execution is named token .. counter (hex), so that names sort in the order of the claims. The token is a fence too: a
-- claim that was under way while its worker recovered (the connection was given up, the server had not read it yet)
-- comes with an old one and gets nothing, because nobody waits for its reply.
-- Ids whose hash is gone (deleted, expired) are skipped, as RQ does, and so are ids that are no text. A job marked
-- `suspect` (it was in the batch of an instance that died) is claimed alone, and not at all by a worker that runs other
-- jobs (`others_running` = '1'), so that a second death names the culprit. A dead letter that somebody replayed (with any tool)
-- leaves the queue `letters` here, and its counters begin anew, as do those of a job that had succeeded (it repeats, or
-- its id is used again). Claims are registered under a job's origin; one that this worker does not serve is noted in
-- P:origins, so that the claim is found should the worker die.
-- Ids leave their queue last. A refusal before that undoes the claims of its queue, and the other queues go on.
local function claim(queues, want, token, counter, lease, busy_ttl, idle_ttl, letters, others_running)
  local reply = {0, REGISTERED, 0, '', string.format('%d.%06d', NOW, NOW_US), ''}
  want, counter = tonumber(want), tonumber(counter)
  local rules, found, aside = nil, {}, {} -- pauses; functions whose jobs were put aside and may go on
  if want > 0 then
    reply[6] = {}
    if call('EXISTS', P .. ':suspended', PAUSED, PARKED) > 0 then
      rules = pause_rules()
      found = rules.pauses(W)
      aside = rules.released(found)
      for _, pause in ipairs(found) do
        local at = #reply[6]
        reply[6][at + 1], reply[6][at + 2], reply[6][at + 3] = pause[1], pause[2], tostring(pause[3])
      end
      if call('EXISTS', P .. ':suspended') == 1 then reply[1], want = 1, 0 end
    end
  end
  local fence = field(WORKER_KEY, 'fence')
  if fence and fence ~= token then
    reply[2], want = 0, 0
  end
  local started, stamp = utc(0)
  local long_lease = tostring(tonumber(lease) + 60)
  local lease_end, long_lease_end = tostring(NOW + tonumber(lease)), tostring(NOW + tonumber(lease) + 60)
  local job_prefix, execution_prefix, executions_prefix = P .. ':job:', P .. ':execution:', P .. ':executions:'
  local taken, alone = 0, false

  local function serves(origin)
    for _, queue in ipairs(queues) do
      if queue == origin then return true end
    end
    return false
  end

  -- Write to a key that is ours alone, or one job's; what another type has left there makes room.
  local function write(command, key, ...)
    local answer = redis.pcall(command, key, ...)
    if type(answer) == 'table' and answer.err then
      if not wrong_type(answer) then raise(answer) end
      call('DEL', key)
      call(command, key, ...)
    end
  end

  -- Claim one job; `claims` collects what is written for its queue in one command each, or undone.
  local function take_in(claims, id, queue, hash, origin, letter, past)
    if not origin then -- REST producers may leave it out or get it wrong; all that finds a job by its hash needs it
      origin = queue
      call('HSET', job_prefix .. id, 'origin', origin)
    end
    if origin ~= queue and not serves(origin) then write('SADD', P .. ':origins', origin) end
    local job = job_prefix .. id
    local execution = token .. string.format('%08x', counter)
    local member = id .. ':' .. execution
    local record, executions = execution_prefix .. member, executions_prefix .. id
    counter = counter + 1
    claims[#claims + 1] = {id, execution, origin, queue, hash}
    call('HSET', job, 'status', 'started', 'started_at', started, 'last_heartbeat', started, 'worker_name', W)
    call('PERSIST', job)
    call('HSET', record, 'id', execution, 'job_id', id, 'created_at', stamp, 'last_heartbeat', stamp, 'worker_name', W)
    call('EXPIRE', record, lease)
    write('ZADD', executions, long_lease_end, execution)
    call('EXPIRE', executions, long_lease)
    if letter or past then claims.anew[#claims.anew + 1] = {id, letter and not past} end
    claims.members[#claims.members + 1] = member
    local entries = claims.wip[origin]
    if not entries then
      entries = {P .. ':wip:' .. origin}
      claims.wip[origin] = entries
    end
    entries[#entries + 1], entries[#entries + 2] = lease_end, member
  end

  local function undo(claims)
    for _, c in ipairs(claims) do
      local id, execution, origin = c[1], c[2], c[3]
      local ttl = count_of(redis.pcall('HGET', job_prefix .. id, 'ttl'))
      redis.pcall('HSET', job_prefix .. id, 'status', 'queued', 'started_at', '', 'last_heartbeat', '', 'worker_name', '')
      if ttl then redis.pcall('EXPIRE', job_prefix .. id, ttl) end
      redis.pcall('ZREM', P .. ':wip:' .. origin, id .. ':' .. execution)
      tidy(forget, id, execution)
    end
  end

  -- Claim from one list of a queue. Of jobs that were put aside (`parked`) those go on that still wait: RQ's cancel()
  -- takes them off their queue only.
  local function claim_from(queue, claims, list, was_aside)
    local seen = 0
    while taken + #claims < want and not alone do
      local wanted = want - taken - #claims
      local ids = call('LRANGE', list, seen, seen + wanted - 1)
      for i = 1, #ids do
        local id, hash = ids[i], redis.pcall('HGETALL', job_prefix .. ids[i])
        if hash.err and not wrong_type(hash) then raise(hash) end
        seen = seen + 1
        if #hash > 0 and is_text(id) then -- where the key holds something else there is no job
          local origin, suspect, letter, past, waits, parked = nil, false, false, false, false, was_aside
          for at = 1, #hash, 2 do
            local field = hash[at]
            if field == 'origin' then
              local name = hash[at + 1]
              if name == queue or (name ~= '' and is_text(name)) then origin = name else hash[at + 1] = queue end
            elseif field == 'suspect' then
              suspect = true
            elseif field == 'dead_letter' then
              letter = true
            elseif field == 'past' then
              past = true
            elseif field == 'parked' then
              parked = true
            elseif field == 'status' then
              waits = hash[at + 1] == 'queued'
            end
          end
          suspect = suspect and not (letter or past)
          if suspect and (taken + #claims > 0 or others_running == '1') then -- it goes alone or not at all
            seen, alone = seen - 1, true
            break
          end
          if waits or not parked then
            take_in(claims, id, queue, hash, origin, letter, past)
            if parked then call('HDEL', job_prefix .. id, 'parked') end
          else
            suspect = false
            call('HDEL', job_prefix .. id, 'parked') -- it stands nowhere any more
          end
          if suspect then
            alone = true
            break
          end
        end
      end
      if #ids < wanted then break end
    end
    for _, c in ipairs(claims.anew) do
      if c[2] then -- else the replay has done it
        local answer = redis.pcall('LREM', P .. ':queue:' .. letters, 0, c[1])
        if type(answer) == 'table' and answer.err and not wrong_type(answer) then raise(answer) end
      end
      call('HDEL', job_prefix .. c[1], 'dead_letter', 'past', unpack(TRACES))
      call('EXPIRE', P .. ':journal:' .. c[1], JOURNAL_SECONDS)
    end
    if #claims > 0 then
      write('SADD', EXECUTIONS_KEY, unpack(claims.members))
      for _, entries in pairs(claims.wip) do call('ZADD', unpack(entries)) end
    end
    if seen > 0 then call('LPOP', list, seen) end
  end

  -- Claim from one queue: first what was put aside and may go on, list by list.
  for _, queue in ipairs(queues) do
    local names = aside[queue]
    local lists = #found > 0 and rules.is_paused(found, '', queue) and 0 or 1 + (names and #names or 0)
    for at = 1, lists do
      if taken >= want or alone then break end
      local name = at < lists and names[at]
      local list = name and rules.parked_list(queue, name) or P .. ':queue:' .. queue
      local claims = {members = {}, wip = {}, anew = {}}
      local well, problem = pcall(claim_from, queue, claims, list, name)
      if well then
        for _, c in ipairs(claims) do reply[#reply + 1] = c end
        taken = taken + #claims
        if taken >= want then
          reply[3] = redis.pcall('LLEN', list)
          if name then reply[3] = reply[3] + call('LLEN', P .. ':queue:' .. queue) end
        end
      else
        undo(claims)
        if reply[4] == '' then reply[4] = type(problem) == 'table' and problem.err or tostring(problem) end
      end
      if name then tidy(rules.forget_parked, queue, name) end
    end
  end
  if REGISTERED == 1 then
    local busy = taken > 0 or call('EXISTS', EXECUTIONS_KEY) == 1 -- jobs of earlier claims may still run
    tidy(call, 'HSET', WORKER_KEY, 'state', busy and 'busy' or reply[1] == 1 and 'suspended' or 'idle',
      'last_heartbeat', started)
    tidy(call, 'EXPIRE', WORKER_KEY, busy and busy_ttl or idle_ttl)
  end
  return reply
end
