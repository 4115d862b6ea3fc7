-- Read a page of the dead-letter queue. Changes nothing.
-- KEYS: none. ARGV: prefix, '' (no single worker), dead-letter queue, first index, last index, then texts: a
--   record without one of them is left out.
-- Returns {length of the queue, number of ids on the page, {id, status, origin, ended_at, record}…}. A record comes
-- without its last part, history, which may be most of it. An id whose job is gone has status '' and no
-- record, one whose job has not failed its status and no record.
local ids = call('LRANGE', P .. ':queue:' .. ARGV[3], ARGV[4], ARGV[5])
local reply = {call('LLEN', P .. ':queue:' .. ARGV[3]), #ids}
for i = 1, #ids do
  local status, origin, ended_at, record = unpack(call('HMGET', P .. ':job:' .. ids[i], 'status', 'origin', 'ended_at',
    'dead_letter'))
  if status ~= 'failed' then
    reply[#reply + 1] = {ids[i], status or '', '', '', ''}
  else
    record = record or ''
    local wanted = true
    for at = 6, #ARGV do wanted = wanted and string.find(record, ARGV[at], 1, true) end
    if wanted then
      local cut = string.find(record, ', "history": ', 1, true)
      if cut then record = string.sub(record, 1, cut - 1) .. '}' end
      reply[#reply + 1] = {ids[i], status, origin or '', ended_at or '', record}
    end
  end
end
return reply
