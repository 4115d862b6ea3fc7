-- Write a worker's record, over whatever a predecessor left, as RQ's `register_birth` does.
-- KEYS: none. ARGV: prefix, worker, time to live (s), number of queues, queue names, then field, value, …
--   P:workers set · P:workers:<q> set
go_on_without_memory()
local count = tonumber(ARGV[4])
make_room(WORKER_KEY, 'hash')
call('HDEL', WORKER_KEY, 'death', 'shutdown_requested_date')
call('HSET', WORKER_KEY, unpack(ARGV, 5 + count))
call('EXPIRE', WORKER_KEY, ARGV[3])
note('SADD', P .. ':workers', WORKER_KEY)
for at = 5, 4 + count do note('SADD', P .. ':workers:' .. ARGV[at], WORKER_KEY) end
return 1
