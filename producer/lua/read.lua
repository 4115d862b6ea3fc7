-- Read a job's state unless the caller has used up his calls.
-- KEYS: job, its results, rate counter. ARGV: limit, window (s), names of job fields.
-- Returns {'read', values, newest result} or {'limited', seconds to wait}.
local call = redis.call
local count = call('INCR', KEYS[3])
if count == 1 then call('EXPIRE', KEYS[3], ARGV[2]) end
if count > tonumber(ARGV[1]) then return {'limited', call('TTL', KEYS[3])} end
return {'read', call('HMGET', KEYS[1], unpack(ARGV, 3)), call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)}
