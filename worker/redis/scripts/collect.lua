-- Dead-letter a job that is already failed (by RQ's own finishing code, RQ's cleaning or a plain RQ worker).
-- KEYS: none. ARGV: prefix, worker, id, dead-letter queue, digest of the job's meta as it was read ('' = leave the meta alone),
--   its new meta, then field, value, … to write on the job hash.
-- Returns 1, 0 when the job is not failed or is a dead letter already, or the job's meta, when others have written it since it
-- was read: then all is done but the meta (`meta.lua`). A record of an earlier failure is replaced:
-- `buried_at` shows for which failure it was written.
local job, letters = P .. ':job:' .. ARGV[3], P .. ':queue:' .. ARGV[4]
local status, ended_at, buried_at = unpack(call('HMGET', job, 'status', 'ended_at', 'buried_at'))
if status ~= 'failed' then return 0 end
if call('HEXISTS', job, 'dead_letter') == 1 and (not buried_at or buried_at == (ended_at or '')) then return 0 end
note('SADD', P .. ':queues', letters)
call('LREM', letters, 0, ARGV[3])
call('RPUSH', letters, ARGV[3])
call('HDEL', job, 'past')
local ttl = call('TTL', job)
if ttl > 0 then
  call('EXPIRE', P .. ':journal:' .. ARGV[3], ttl)
  call('EXPIRE', P .. ':log:' .. ARGV[3], ttl)
end
local moved = ARGV[5] ~= '' and meta_moved(job, ARGV[5], ARGV[6])
if ARGV[5] ~= '' and not moved then call('HSET', job, 'meta', ARGV[6]) end
call('HSET', job, 'buried_at', ended_at or '', unpack(ARGV, 7)) -- last: a job with a record is not looked at again
shrink(P .. ':results:' .. ARGV[3])
return moved or 1
