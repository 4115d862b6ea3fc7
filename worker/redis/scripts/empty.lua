-- Delete the jobs at the head of a queue, some a call, as RQ's Queue.empty() does: with all that RQ keeps of them.
-- KEYS: none. ARGV: prefix, '' (no single worker), queue, most.
-- Returns how many ids were taken off the queue. A job that does not wait there any more (it runs, it stands there twice) is left.
go_on_without_memory()
local list, seen = P .. ':queue:' .. ARGV[3], 0
for _, id in ipairs(call('LRANGE', list, 0, tonumber(ARGV[4]) - 1)) do
  local job = P .. ':job:' .. id
  if field(job, 'status') == 'queued' then
    call('DEL', job, job .. ':dependents', P .. ':job::' .. id .. ':dependencies', P .. ':results:' .. id,
      P .. ':journal:' .. id, P .. ':log:' .. id)
  end
  seen = seen + 1
end
if seen > 0 then call('LPOP', list, seen) end
return seen
