-- Look through a page of a FailedJobRegistry for failures that others recorded: plain RQ workers, RQ's own cleaning.
-- KEYS: none. ARGV: prefix, '' (no single worker), queue, first rank, number.
-- Returns {entries seen, entries removed, id…}. Removed are entries whose job is gone (`rq empty dead-letter` leaves
-- them, and `rq requeue --all` fails on them). An id is returned when its job has failed and has no record, or the
-- record of an earlier failure. The registry also holds jobs that were stopped by order, which are no dead letters.
local registry, removed = P .. ':failed:' .. ARGV[3], 0
local ids = call('ZRANGE', registry, ARGV[4], tonumber(ARGV[4]) + tonumber(ARGV[5]) - 1)
local reply = {#ids, 0}
for i = 1, #ids do
  local job = P .. ':job:' .. ids[i]
  local status, ended_at, buried_at = unpack(call('HMGET', job, 'status', 'ended_at', 'buried_at'))
  if not status and call('EXISTS', job) == 0 then
    removed = removed + call('ZREM', registry, ids[i])
  elseif status == 'failed'
    and ((buried_at and buried_at ~= (ended_at or '')) or call('HEXISTS', job, 'dead_letter') == 0) then
    reply[#reply + 1] = ids[i]
  end
end
reply[2] = removed
return reply
