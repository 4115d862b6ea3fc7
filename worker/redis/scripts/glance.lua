-- Read a little of some jobs, however large they are. Changes nothing.
-- KEYS: none. ARGV: prefix, '' (no single worker), the largest payload that is looked into (bytes), ids…
-- Returns for each id {status, origin, worker, enqueued_at, started_at, ended_at, attempts, the payload's first bytes};
-- each '' where there is none, all of them where the job is gone or no hash. Every part is cut.
local PARTS = {'status', 'origin', 'worker_name', 'enqueued_at', 'started_at', 'ended_at', 'attempts'}
local LONGEST, HEAD = 300, 4000
local reply = {}
for at = 4, #ARGV do
  local job, row = P .. ':job:' .. ARGV[at], {}
  local fields = redis.pcall('HMGET', job, unpack(PARTS))
  for part = 1, #PARTS do
    row[part] = string.sub(not fields.err and fields[part] or '', 1, LONGEST)
  end
  local size = redis.pcall('HSTRLEN', job, 'data')
  local data = type(size) == 'number' and size <= tonumber(ARGV[3]) and call('HGET', job, 'data')
  row[#PARTS + 1] = string.sub(data or '', 1, HEAD)
  reply[#reply + 1] = row
end
return reply
