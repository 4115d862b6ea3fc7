-- Put jobs that wait for nothing any more on their queue, and take them off the registry of those that are ready.
-- KEYS: none. ARGV: prefix, '' (no single worker), queue, ids…
--   P:ready:<q> zset, by when they came there
-- Returns how many were enqueued; the others are not ready (any more).
local queue, enqueued = ARGV[3], 0
local ready = P .. ':ready:' .. queue
go_on_without_memory()
call('ZREM', ready, '') -- to be refused, if it is, before a job stands on its queue
for at = 4, #ARGV do
  local id = ARGV[at]
  if call('ZSCORE', ready, id) and call('HGET', P .. ':job:' .. id, 'status') == 'ready_to_enqueue' then
    enqueue(id, queue, ready)
    enqueued = enqueued + 1
  end
end
return enqueued
