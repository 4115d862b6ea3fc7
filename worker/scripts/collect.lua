-- Dead-letter a job that is already failed (by RQ's own finishing code, RQ's cleaning or a plain RQ worker).
-- KEYS: none. ARGV: prefix, worker, id, dead-letter queue, then field, value, … to write on the job hash.
-- Returns 1, or 0 when the job is not failed or is a dead letter already.
local job, letters = P .. ':job:' .. ARGV[3], P .. ':queue:' .. ARGV[4]
if call('HGET', job, 'status') ~= 'failed' or call('HEXISTS', job, 'dead_letter') == 1 then return 0 end
call('HSET', job, unpack(ARGV, 5))
call('RPUSH', letters, ARGV[3])
call('SADD', P .. ':queues', letters)
return 1
