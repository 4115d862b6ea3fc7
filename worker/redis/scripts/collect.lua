-- Dead-letter a job that is already failed (by RQ's own finishing code, RQ's cleaning or a plain RQ worker).
-- KEYS: none. ARGV: prefix, worker, id, dead-letter queue, then field, value, … to write on the job hash.
-- Returns 1, or 0 when the job is not failed or is a dead letter already. A record of an earlier failure is replaced:
-- `buried_at` shows for which failure it was written.
local job, letters = P .. ':job:' .. ARGV[3], P .. ':queue:' .. ARGV[4]
local status, ended_at, buried_at = unpack(call('HMGET', job, 'status', 'ended_at', 'buried_at'))
if status ~= 'failed' then return 0 end
if call('HEXISTS', job, 'dead_letter') == 1 and (not buried_at or buried_at == (ended_at or '')) then return 0 end
call('SADD', P .. ':queues', letters)
call('LREM', letters, 0, ARGV[3])
call('RPUSH', letters, ARGV[3])
call('HDEL', job, 'past')
call('HSET', job, 'buried_at', ended_at or '', unpack(ARGV, 5)) -- last: a job with a record is not looked at again
return 1
