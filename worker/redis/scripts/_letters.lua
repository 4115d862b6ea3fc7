-- Prepended to the scripts with which operators (and the dispatcher) change dead letters. ARGV: prefix, '' (no single
-- worker), dead-letter queue, action, who (user@host; '' = no audit), run (one name for all calls of a command), note.
--   P:queue:<letters> list of ids, oldest first · P:failed:<q> zset · P:job:<id> hash · P:results:<id> stream
--   P:dead-letter:audit stream of {action, who, run, note, count, ids}, capped
local LETTERS = P .. ':queue:' .. ARGV[3]

-- Record what was done to `ids`, in the same step: a command that is killed in the middle has left its trace.
local function audit(ids)
  if #ids == 0 or ARGV[5] == '' then return end
  call('XADD', P .. ':dead-letter:audit', 'MAXLEN', '~', '10000', '*', 'action', ARGV[4], 'who', ARGV[5],
    'run', ARGV[6], 'note', ARGV[7], 'count', #ids, 'ids', table.concat(ids, ' '))
end

-- Take a dead letter off the queue and out of its FailedJobRegistry. Returns its origin, or nil when it is no dead
-- letter: replayed, requeued, deleted. Operators go from the oldest to the newest, so the id stands near the head.
local function take_letter(id)
  local found = call('LREM', LETTERS, 1, id)
  local origin, status = unpack(call('HMGET', P .. ':job:' .. id, 'origin', 'status'))
  if not origin or status ~= 'failed' then return nil end
  if call('ZREM', P .. ':failed:' .. origin, id) + found == 0 then return nil end
  return origin
end
