-- Bring back dead letters that were exported, byte by byte.
-- KEYS: none. ARGV: as in _letters.lua, then for each letter: id, queue, life left (ms; -1 = for ever), number of
--   results, number of values of its hash, field, value, …, then for each result: its id in the stream, number of
--   values, field, value, …, then the number of values of its journal, field, value, …, then the number of entries of its log,
--   entry, …
-- Returns 1 or 0 for each: 0 = a job of that id exists, and is left alone.
local replies, done, at = {}, {}, 8

local function restore(id, queue, left, results, first, last, journal, log)
  local job = P .. ':job:' .. id
  if call('EXISTS', job) == 1 then return 0 end
  local stream = P .. ':results:' .. id
  note('SADD', P .. ':queues', LETTERS)
  call('LREM', LETTERS, 0, id)
  call('RPUSH', LETTERS, id)
  local beside, said = P .. ':journal:' .. id, P .. ':log:' .. id
  call('DEL', stream, beside, said)
  for part = journal, journal + tonumber(ARGV[journal - 1]) - 1, 2 do
    call('HSET', beside, ARGV[part], ARGV[part + 1])
    call('EXPIRE', beside, left >= 0 and math.ceil(left / 1000) or JOURNAL_SECONDS)
  end
  for part = log, log + tonumber(ARGV[log - 1]) - 1 do
    call('RPUSH', said, ARGV[part])
    call('EXPIRE', said, left >= 0 and math.ceil(left / 1000) or JOURNAL_SECONDS)
  end
  for _, result in ipairs(results) do call('XADD', stream, ARGV[result[1]], unpack(ARGV, result[2], result[3])) end
  call('ZADD', P .. ':failed:' .. queue, left >= 0 and NOW + math.ceil(left / 1000) or '-1', id)
  if left >= 0 then call('PEXPIRE', stream, left) end
  call('HSET', job, 'origin', queue, unpack(ARGV, first, last)) -- last: a job that is there is left alone
  call('HSET', job, 'status', 'failed', 'origin', queue)
  if left >= 0 then call('PEXPIRE', job, left) end
  return 1
end

while at < #ARGV do
  local id, queue, left, results = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), {}
  local first = at + 5
  local last = first + tonumber(ARGV[at + 4]) - 1
  local following = last + 1
  for _ = 1, tonumber(ARGV[at + 3]) do
    local size = tonumber(ARGV[following + 1])
    results[#results + 1] = {following, following + 2, following + 1 + size}
    following = following + 2 + size
  end
  local journal = following + 1
  local log = journal + tonumber(ARGV[following]) + 1
  local reply = restore(id, queue, left, results, first, last, journal, log)
  following = log + tonumber(ARGV[log - 1])
  replies[#replies + 1] = reply
  if reply == 1 then done[#done + 1] = id end
  at = following
end
audit(done)
return replies
