-- Read, or write to, the journal of a job that runs: what its steps have returned, where its cursors stand. Only the run that
-- owns the claim may.
-- KEYS: none.
-- ARGV: prefix, worker, id, execution, origin, created_at of the job, what: look = only check the claim, read,
--   or write; for write then field, JSON, where the job stands with it (JSON).
-- Returns {1, field, value, …} (fields for read only), or {0, status} when the claim was lost: '' = the job was deleted.
-- P:journal:<id> hash: field → Unix time, space, JSON. The field `journal` of the job's hash tells whose it is and where the
-- job stands: created_at, space, JSON. Where that names another created_at or is not there, an earlier job of this id has left
-- the journal, and it makes room. While the job has no end it lives for JOURNAL_SECONDS after each use, then as long as its
-- job. A job that gets on is none that stops of the service or crashes keep from its end: their counters begin anew.
local id, execution, origin, created_at, what = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local job, journal = P .. ':job:' .. id, P .. ':journal:' .. id
local status = call('HGET', job, 'status')
if not ours(origin, id, execution) or not status then return {0, status or ''} end
if what == 'look' then return {1} end
local reply = {1}
local own = string.sub(call('HGET', job, 'journal') or '', 1, #created_at + 1) == created_at .. ' '
if what == 'read' then
  if own then
    call('EXPIRE', journal, JOURNAL_SECONDS)
    for _, part in ipairs(call('HGETALL', journal)) do reply[#reply + 1] = part end
  end
  return reply
end
if not own then call('DEL', journal) end
call('HSET', journal, ARGV[8], string.format('%d.%06d ', NOW, NOW_US) .. ARGV[9])
call('EXPIRE', journal, JOURNAL_SECONDS)
call('HSET', job, 'journal', created_at .. ' ' .. ARGV[10])
call('HDEL', job, 'crashes', 'handbacks')
return reply
