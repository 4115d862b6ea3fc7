-- Show the schedule to RQ's own tools, as a CronScheduler of theirs that was heard `ahead` seconds from now: they forget
-- one that is silent for two minutes, and ours speaks only when something is due.
-- KEYS: none. Touches besides those of _leader.lua: P:cron_schedulers zset, P:cron_scheduler:<name> hash.
-- ARGV: prefix, '' (no single worker), leader's name, token, scheduler's name, ahead (s), ttl (s), then field, value…
-- Returns 1, or -1 when somebody else leads.
if not lead(ARGV[3], ARGV[4]) then return -1 end
local key = P .. ':cron_scheduler:' .. ARGV[5]
call('HSET', key, unpack(ARGV, 8))
call('EXPIRE', key, tonumber(ARGV[6]) + tonumber(ARGV[7]))
call('ZADD', P .. ':cron_schedulers', NOW + tonumber(ARGV[6]), ARGV[5])
return 1
