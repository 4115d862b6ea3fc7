-- Write a job's meta, unless somebody has written it since it was read.
-- KEYS: none. ARGV: prefix, '' (no single worker), id, digest (SHA1, hex) of the meta that was seen, the new meta.
-- Returns 1, 0 when the job is gone, or the meta that is stored now.
local job = P .. ':job:' .. ARGV[3]
if call('EXISTS', job) == 0 then return 0 end
local moved = meta_moved(job, ARGV[4], ARGV[5])
if moved then return moved end
if call('HGET', job, 'meta') ~= ARGV[5] then call('HSET', job, 'meta', ARGV[5]) end
return 1
