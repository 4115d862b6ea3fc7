-- Claim up to ARGV[3] jobs from the queues KEYS (full list keys, highest priority first). No job is ever outside both
-- a queue and a registry.
-- ARGV: prefix, worker, want, token, counter, lease (s), busy_ttl (s), idle_ttl (s), dead-letter queue, others_running
--   (1 = other jobs run in this process), queue names in the order of KEYS.
-- Returns {suspended, registered, left, problem, {id, execution, origin, queue, {field, value, …}}, …}: see _claim.lua.
go_on_without_memory()
local queues = {unpack(ARGV, 11)}
return claim(queues, ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10])
