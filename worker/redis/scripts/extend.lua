-- Check that a claim is still ours, and prolong it while RQ's own code finishes the job.
-- KEYS: none. ARGV: prefix, worker, id, execution, origin, lease (s). Returns 1 or 0.
go_on_without_memory()
local member = ARGV[3] .. ':' .. ARGV[4]
if call('ZSCORE', P .. ':wip:' .. ARGV[5], member) then
  call('ZADD', P .. ':wip:' .. ARGV[5], 'XX', NOW + tonumber(ARGV[6]), member)
  return 1
end
forget(ARGV[3], ARGV[4])
return 0
