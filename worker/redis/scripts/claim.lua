-- Claim up to ARGV[3] jobs from the queues KEYS (full list keys, highest priority first). No job is ever outside both
-- a queue and a registry.
-- ARGV: prefix, worker, want, token, counter, lease (s), busy_ttl (s), idle_ttl (s), dead-letter queue, others_running
--   (1 = other jobs run in this process), heard (1 = claim nothing unless somebody listens for RQ's commands to this
--   worker), queue names in the order of KEYS.
-- Returns {suspended, registered, left, problem, {id, execution, origin, queue, {field, value, …}}, …}: see _claim.lua.
go_on_without_memory()
local queues, want = {unpack(ARGV, 12)}, ARGV[3]
if ARGV[11] == '1' then
  local listeners = optional('PUBSUB', 'NUMSUB', P .. ':pubsub:' .. W)
  if listeners[2] == 0 then want = '0' end -- an error has no second entry: nobody can tell
end
return claim(queues, want, ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10])
