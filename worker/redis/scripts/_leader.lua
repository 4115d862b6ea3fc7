-- The leader among the dispatchers of all instances. It leads only while it has something to do: each write makes it
-- the leader for another LEADER_SECONDS, after which any dispatcher may take over.
--   P:leader hash {name, token}, expires · P:leader-token string: the last token that was given out
--   P:agenda hash chore → when it is next due (Unix time): done once in the fleet, whoever leads; chore|noted → when that
--   was written: a time to come shows that this server's clock was set back, and says nothing about what is due
local LEADER_KEY, AGENDA_KEY, LEADER_SECONDS = P .. ':leader', P .. ':agenda', 20

-- lead(name, token): the fence of every leader-only write. A token must still be the current one: a leader that was
-- paused while others led is refused, even if none leads now, because what it knows may be old. Without a token ('')
-- `name` takes over if no other leads. Returns the token, nil when refused.
local function lead(name, token)
  go_on_without_memory()
  local holder, current = unpack(call('HMGET', LEADER_KEY, 'name', 'token'))
  if holder == name and (token == '' or token == current) then
    call('EXPIRE', LEADER_KEY, LEADER_SECONDS)
    return current
  end
  if holder and call('PTTL', LEADER_KEY) > LEADER_SECONDS * 1000 then -- this server's clock was set back meanwhile
    call('EXPIRE', LEADER_KEY, LEADER_SECONDS)
  end
  if holder or token ~= '' then return nil end
  current = tostring(call('INCR', P .. ':leader-token'))
  call('HSET', LEADER_KEY, 'name', name, 'token', current)
  call('EXPIRE', LEADER_KEY, LEADER_SECONDS)
  return current
end
