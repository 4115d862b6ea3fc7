-- Bring back a dead letter that was exported, byte by byte.
-- KEYS: none. ARGV: as in _letters.lua, then id, queue, life left (ms; -1 = for ever), number of values of its hash,
--   field, value, …, then for each result: its id in the stream, number of values, field, value, …
-- Returns 1, or 0 when there is a job of that id already: nothing is changed then.
local id, queue, left, count = ARGV[8], ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11])
local job, results = P .. ':job:' .. id, P .. ':results:' .. id
if call('EXISTS', job) == 1 then return 0 end
call('HSET', job, unpack(ARGV, 12, 11 + count))
call('HSET', job, 'status', 'failed', 'origin', queue)
call('DEL', results)
local at = 12 + count
while at < #ARGV do
  local size = tonumber(ARGV[at + 1])
  call('XADD', results, ARGV[at], unpack(ARGV, at + 2, at + 1 + size))
  at = at + 2 + size
end
if left >= 0 then
  call('PEXPIRE', job, left)
  call('PEXPIRE', results, left)
  call('ZADD', P .. ':failed:' .. queue, NOW + math.ceil(left / 1000), id)
else
  call('ZADD', P .. ':failed:' .. queue, '-1', id)
end
call('LREM', LETTERS, 0, id)
call('RPUSH', LETTERS, id)
call('SADD', P .. ':queues', LETTERS)
audit({id})
return 1
