-- Prepended to the scripts with which operators (and the dispatcher) change dead letters. ARGV: prefix, '' (no single
-- worker), dead-letter queue, action, who (user@host; '' = no audit), run (one name for all calls of a command), note.
--   P:queue:<letters> list of ids, oldest first · P:failed:<q> zset · P:job:<id> hash · P:results:<id> stream
--   P:dead-letter:audit stream of {action, who, run, note, count, ids}, capped
local LETTERS = P .. ':queue:' .. ARGV[3]

-- Take an id off the dead-letter queue, as fast near its end, where the newest are, as near its head. Returns how many
-- entries that were.
local NEAR = 1000
local function unlist(id)
  return call('LREM', LETTERS, call('LPOS', LETTERS, id, 'RANK', -1, 'MAXLEN', NEAR) and -1 or 1, id)
end

-- Record what was done to `ids`, in the same step: a command that is killed in the middle has left its trace.
local function audit(ids)
  if #ids == 0 or ARGV[5] == '' then return end
  call('XADD', P .. ':dead-letter:audit', 'MAXLEN', '~', '10000', '*', 'action', ARGV[4], 'who', ARGV[5],
    'run', ARGV[6], 'note', ARGV[7], 'count', #ids, 'ids', table.concat(ids, ' '))
end

-- Return the origin of a dead letter, or nil when it is none (any more): replayed, requeued, deleted.
local function origin_of_letter(id)
  local origin, status = unpack(call('HMGET', P .. ':job:' .. id, 'origin', 'status'))
  if not status then unlist(id) end -- it was deleted
  if not origin or status ~= 'failed' then return nil end
  if not call('ZSCORE', P .. ':failed:' .. origin, id) and not call('LPOS', LETTERS, id) then return nil end
  return origin
end
