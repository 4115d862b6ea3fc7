-- Take ids off the dead-letter queue whose job is gone (deleted, expired) or has not failed (it was requeued).
-- KEYS: none. ARGV: prefix, '' (no single worker), dead-letter queue, then pairs of index and id as they were seen.
-- Returns how many were taken off, in one pass over the queue: each is overwritten with a mark, and the marks are
-- removed together. A job that was requeued keeps its record until it is claimed; `past` shows the claim that the id is
-- off the queue.
local letters, mark, marked = P .. ':queue:' .. ARGV[3], '\0swept', 0
for at = 4, #ARGV, 2 do
  local index, id = tonumber(ARGV[at]), ARGV[at + 1]
  local job = P .. ':job:' .. id
  if call('LINDEX', letters, index) == id then
    local status = call('HGET', job, 'status')
    if status ~= 'failed' then
      call('LSET', letters, index, mark)
      marked = marked + 1
      if status and call('HEXISTS', job, 'dead_letter') == 1 then call('HSET', job, 'past', 1) end
    end
  end
end
if marked > 0 then call('LREM', letters, 0, mark) end
return marked
