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

-- claim(queues, want, token, counter, lease, busy_ttl, idle_ttl, letters, others_running): pop up to `want` jobs in
-- queue order and write all that RQ's worker writes before it runs one. Numbers come as the texts of ARGV.
-- Returns {suspended, registered, left, claim...}, where `left` is how many ids remain on the last queue that was
-- popped (counted only when the batch is full) and a claim is {id, execution, origin, queue, hash}.
-- An execution is named token .. counter (hex), so that names sort in the order of the claims. The token is a fence
-- too: if a worker gives its connection up and recovers while a claim is still under way, that claim comes with the old
-- token and gets nothing, because its reply is lost.
-- Ids whose hash is gone (deleted, expired) are skipped, as RQ does, and so are ids that are no text. A job marked
-- `suspect` (it was in the batch of an instance that died) is claimed alone, and not at all by a worker that runs other
-- jobs (`others_running` = '1'), so that a second death names the culprit. A replayed dead letter (whatever tool
-- replayed it) leaves the queue `letters` here, and its counters begin anew, as do those of a job that had succeeded
-- (it repeats, or its id is used again). Claims are registered under a job's origin. An origin that this worker does
-- not serve is noted in P:origins, so that the claim is found should the worker die.
local function claim(queues, want, token, counter, lease, busy_ttl, idle_ttl, letters, others_running)
  local reply = {0, REGISTERED, 0}
  want, counter = tonumber(want), tonumber(counter)
  if want > 0 and call('EXISTS', P .. ':suspended') == 1 then
    reply[1], want = 1, 0
  end
  local fence = call('HGET', WORKER_KEY, 'fence')
  if fence and fence ~= token then
    reply[2], want = 0, 0
  end
  local started, stamp = utc(0)
  local long_lease = tostring(tonumber(lease) + 60)
  local lease_end, long_lease_end = tostring(NOW + tonumber(lease)), tostring(NOW + tonumber(lease) + 60)
  local job_prefix, execution_prefix, executions_prefix = P .. ':job:', P .. ':execution:', P .. ':executions:'
  local members, wip, taken, alone = {EXECUTIONS_KEY}, {}, 0, false

  local function serves(origin)
    for _, queue in ipairs(queues) do
      if queue == origin then return true end
    end
    return false
  end

  local function take_in(id, queue, hash, origin, letter, past)
    if not origin then -- REST producers may leave it out or get it wrong; scripts that find a job by its hash need it
      origin = queue
      call('HSET', job_prefix .. id, 'origin', origin)
    end
    if origin ~= queue and not serves(origin) then call('SADD', P .. ':origins', origin) end
    local job = job_prefix .. id
    local execution = token .. string.format('%08x', counter)
    local member = id .. ':' .. execution
    local record, executions = execution_prefix .. member, executions_prefix .. id
    counter, taken = counter + 1, taken + 1
    call('HSET', job, 'status', 'started', 'started_at', started, 'last_heartbeat', started, 'worker_name', W)
    call('PERSIST', job)
    call('HSET', record, 'id', execution, 'job_id', id, 'created_at', stamp, 'last_heartbeat', stamp, 'worker_name', W)
    call('EXPIRE', record, lease)
    call('ZADD', executions, long_lease_end, execution)
    call('EXPIRE', executions, long_lease)
    if letter and not past then call('LREM', P .. ':queue:' .. letters, 0, id) end -- `past`: it is off that queue
    if letter or past then
      call('HDEL', job, 'dead_letter', 'past', unpack(TRACES))
    end
    members[#members + 1] = member
    local entries = wip[origin]
    if not entries then
      entries = {P .. ':wip:' .. origin}
      wip[origin] = entries
    end
    entries[#entries + 1], entries[#entries + 2] = lease_end, member
    reply[#reply + 1] = {id, execution, origin, queue, hash}
  end

  for _, queue in ipairs(queues) do
    local queue_key = P .. ':queue:' .. queue
    while taken < want and not alone do
      local ids = call('LPOP', queue_key, want - taken)
      if not ids then break end
      for i = 1, #ids do
        -- pcall: a key of another type gives an error, of length 0 too; here, half-way, no command may fail.
        local id, hash = ids[i], redis.pcall('HGETALL', job_prefix .. ids[i])
        if #hash > 0 and is_text(id) then
          local origin, suspect, letter, past = nil, false, false, false
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
            end
          end
          suspect = suspect and not (letter or past)
          local first_back = i
          if not suspect or (taken == 0 and others_running ~= '1') then
            take_in(id, queue, hash, origin, letter, past)
            first_back = i + 1
          end
          if suspect then -- it is claimed alone or not at all: the rest goes back to where it was
            alone = true
            for back = #ids, first_back, -1 do call('LPUSH', queue_key, ids[back]) end
            break
          end
        end
      end
    end
    if taken >= want and want > 0 then
      reply[3] = call('LLEN', queue_key)
      break
    end
  end
  if taken > 0 then
    call('SADD', unpack(members))
    for _, entries in pairs(wip) do call('ZADD', unpack(entries)) end
  end
  if REGISTERED == 1 then
    call('HSET', WORKER_KEY, 'state', taken > 0 and 'busy' or reply[1] == 1 and 'suspended' or 'idle',
      'last_heartbeat', started)
    call('EXPIRE', WORKER_KEY, (taken > 0 or call('EXISTS', EXECUTIONS_KEY) == 1) and busy_ttl or idle_ttl)
  end
  return reply
end
