-- claim(queues, want, token, counter, lease, busy_ttl, idle_ttl, letters, company): pop up to `want` jobs in queue order and write all
-- that RQ's worker writes before it runs one. Returns {suspended, registered, left, claim...}, where `left` is how many
-- ids remain on those queues (counted only when the batch is full) and a claim is {id, execution, origin, queue, hash}.
-- An execution is named token .. counter (hex), so that names sort in the order of the claims.
-- Ids whose hash is gone (deleted, expired) are skipped, as RQ does. A job marked `suspect` (it was in the batch of an
-- instance that died) is claimed alone, and not at all by a worker that runs other jobs (`company` = '1'), so that a second death
-- names the culprit. A dead letter that somebody replayed
-- (with any tool) leaves the queue `letters` here, and its counters begin anew.
local function claim(queues, want, token, counter, lease, busy_ttl, idle_ttl, letters, company)
  local reply = {0, REGISTERED, 0}
  local members = {EXECUTIONS_KEY}
  if want > 0 and call('EXISTS', P .. ':suspended') == 1 then
    reply[1], want = 1, 0
  end
  local taken, started, stamp, alone = 0, utc(0), timestamp(0), false
  for _, queue in ipairs(queues) do
    local queue_key = P .. ':queue:' .. queue
    while taken < want and not alone do
      local id = call('LPOP', queue_key)
      if not id then break end
      local job = P .. ':job:' .. id
      local hash = call('HGETALL', job)
      if #hash > 0 then
        local origin, suspect, replayed = queue, false, false
        for i = 1, #hash, 2 do
          local field = hash[i]
          if field == 'origin' then
            if hash[i + 1] ~= '' then origin = hash[i + 1] end
          elseif field == 'suspect' then
            suspect = true
          elseif field == 'dead_letter' then
            replayed = true
          end
        end
        if suspect and (taken > 0 or company == '1') then
          call('LPUSH', queue_key, id)
          alone = true
          break
        end
        alone = suspect
        taken = taken + 1
        local execution = token .. string.format('%08x', counter)
        local member = id .. ':' .. execution
        counter = counter + 1
        call('HSET', job, 'status', 'started', 'started_at', started, 'last_heartbeat', started, 'worker_name', W)
        call('PERSIST', job)
        if replayed then
          call('LREM', P .. ':queue:' .. letters, 0, id)
          call('HDEL', job, 'dead_letter', 'attempts', 'crashes', 'handbacks', 'last_error')
        end
        call('HSET', P .. ':execution:' .. member, 'id', execution, 'job_id', id, 'created_at', stamp,
          'last_heartbeat', stamp, 'worker_name', W)
        call('EXPIRE', P .. ':execution:' .. member, lease)
        call('ZADD', P .. ':executions:' .. id, NOW + lease + 60, execution)
        call('EXPIRE', P .. ':executions:' .. id, lease + 60)
        call('ZADD', P .. ':wip:' .. origin, NOW + lease, member)
        members[#members + 1] = member
        reply[#reply + 1] = {id, execution, origin, queue, hash}
      end
    end
    if taken >= want and want > 0 then reply[3] = reply[3] + call('LLEN', queue_key) end
  end
  if taken > 0 then call('SADD', unpack(members)) end
  if REGISTERED == 1 then
    call('HSET', WORKER_KEY, 'state', taken > 0 and 'busy' or reply[1] == 1 and 'suspended' or 'idle',
      'last_heartbeat', started)
    call('EXPIRE', WORKER_KEY, (taken > 0 or call('EXISTS', EXECUTIONS_KEY) == 1) and busy_ttl or idle_ttl)
  end
  return reply
end
