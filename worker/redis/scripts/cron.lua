-- Enqueue one entry of the schedule, or pass this firing of it over, once in the whole fleet.
-- KEYS: none. Touches besides those of _leader.lua: P:cron-runs hash entry → its last firing and run; and what RQ's
--   CronJob.enqueue writes: P:cron_job:<name>:jobs zset, P:cron_jobs zset.
-- ARGV: prefix, '' (no single worker), leader's name, token, entry, what the leader has read there ('' = nothing), what
--   to write there, and when a job is to be enqueued: queue, id, history's name, its limit, its ttl (s), then the job's
--   field, value…
-- Returns 1; 0 when another firing is written there by now (done already: a reply was lost); -1 when another leads.
if not lead(ARGV[3], ARGV[4]) then return -1 end
local runs, entry = P .. ':cron-runs', ARGV[5]
if (call('HGET', runs, entry) or '') ~= ARGV[6] then return 0 end
if not ARGV[8] then
  call('HSET', runs, entry, ARGV[7])
  return 1
end
local queue, id, history = P .. ':queue:' .. ARGV[8], ARGV[9], P .. ':cron_job:' .. ARGV[10] .. ':jobs'
local job, date, stamp = P .. ':job:' .. id, utc(0)
local well, problem = pcall(function()
  call('HSET', job, unpack(ARGV, 13))
  call('HSET', job, 'status', 'queued', 'origin', ARGV[8], 'created_at', date, 'enqueued_at', date)
  local ttl = count_of(call('HGET', job, 'ttl'))
  if ttl then expire(id, ttl) end
  note('SADD', P .. ':queues', queue)
  call('ZADD', history, stamp, id)
  call('ZREMRANGEBYRANK', history, 0, -(tonumber(ARGV[11]) + 1))
  call('EXPIRE', history, ARGV[12])
  call('ZADD', P .. ':cron_jobs', stamp, ARGV[10])
  call('RPUSH', queue, id)
  call('HSET', runs, entry, ARGV[7])
end)
if not well then -- the next try enqueues it under another id
  redis.pcall('LREM', queue, -1, id)
  redis.pcall('DEL', job)
  redis.pcall('ZREM', history, id)
  raise(problem)
end
return 1
