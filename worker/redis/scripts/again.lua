-- Run a job once more that has ended, or now what is scheduled for later, as a new run with its own attempts. What failed is for
-- replay.lua.
-- KEYS: none. ARGV: as in _letters.lua, then the id.
-- Returns 1; 0 = there is no such job; or what keeps it from running: its status, or `empty` (its payload is gone).
local id, FROM = ARGV[8], {finished = 'finished', canceled = 'canceled', stopped = 'failed', scheduled = 'scheduled'}
local job = P .. ':job:' .. id
local status, origin, ttl, key, concurrency, parked = unpack(call('HMGET', job, 'status', 'origin', 'ttl', 'rate_limit_key',
  'rate_limit_concurrency', 'parked'))
if not status then return 0 end
if not FROM[status] or (origin or '') == '' then return status end
if call('HEXISTS', job, 'data') == 0 then return 'empty' end
local registry = P .. ':' .. FROM[status] .. ':' .. origin
ttl, concurrency = count_of(ttl), count_of(concurrency)
call('ZREM', registry, '') -- to be refused, if it is, before the job stands on its queue
if ttl then expire(id, ttl) else call('PERSIST', job) end
if status ~= 'scheduled' then
  call('HSET', job, 'past', 1, 'started_at', '', 'ended_at', '')
  call('DEL', P .. ':journal:' .. id)
end
local limit = key and concurrency and P .. ':rl:' .. key
local well, problem = pcall(function()
  if parked and status == 'canceled' then -- it never left the list on which it waited
    call('HSET', job, 'status', 'queued')
    call('ZREM', registry, id)
  elseif limit then
    wait_for_place(id, job, key, concurrency, false)
    call('ZREM', registry, id)
  else
    push(id, job, origin, false, registry)
  end
end)
if not well then
  if parked or redis.pcall('HGET', job, 'status') ~= 'queued' then
    redis.pcall('HSET', job, 'status', status, 'origin', origin)
    if limit then redis.pcall('ZREM', limit .. ':rate_limited', id) end
    raise(problem)
  end
  redis.pcall('ZREM', registry, id)
end
audit({id})
return 1
