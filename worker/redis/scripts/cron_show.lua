-- Write the schedule for RQ's own tools, as one of RQ's CronSchedulers. They forget one whose last heartbeat is two
-- minutes old, and ours writes only when something is due: so its heartbeat is dated `ahead` seconds from now.
-- KEYS: none. Touches besides those of _leader.lua: P:cron_schedulers zset, P:cron_scheduler:<name> hash.
-- ARGV: prefix, '' (no single worker), leader's name, token, scheduler's name, ahead (s), ttl (s), then field, value…
-- Returns 1, or -1 when another leads.
if not lead(ARGV[3], ARGV[4]) then return -1 end
local key = P .. ':cron_scheduler:' .. ARGV[5]
call('HSET', key, unpack(ARGV, 8))
call('EXPIRE', key, tonumber(ARGV[6]) + tonumber(ARGV[7]))
call('ZADD', P .. ':cron_schedulers', NOW + tonumber(ARGV[6]), ARGV[5])
return 1
