-- Add to the log of a job that runs: what it says of itself. Only the run that owns the claim may.
-- KEYS: none.
-- ARGV: prefix, worker, id, execution, origin, created_at of the job, attempt, how long it is kept (s; '' = the job has no end
--   yet, 0 = not at all, -1 = for ever), how many lines were left out before these, then three values a line: said ago (ms),
--   percent ('-' = none), text.
-- Returns 1, or 0 when the claim was lost.
-- P:log:<id> list: created_at of the job, space, how many lines were left out; then the last LINES lines, the oldest first: Unix
-- time, attempt, percent, text, with spaces between. Where it begins with another created_at an earlier job of this id has left
-- it, and it makes room. While the job has no end it lives for JOURNAL_SECONDS after each line.
local id, execution, origin, created_at, attempt, ttl = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local key, LINES = P .. ':log:' .. id, 200
if not ours(origin, id, execution) or call('EXISTS', P .. ':job:' .. id) == 0 then return 0 end
if ttl == '0' then
  call('DEL', key)
  return 1
end
make_room(key, 'list')
local head = call('LINDEX', key, 0) or ''
local left_out = tonumber(ARGV[9])
if string.sub(head, 1, #created_at + 1) == created_at .. ' ' then
  left_out = left_out + (count_of(string.sub(head, #created_at + 2)) or 0)
elseif head ~= '' then
  call('DEL', key)
  head = ''
end
local now_ms, lines = NOW * 1000 + math.floor(NOW_US / 1000), {}
if head == '' and #ARGV > 9 then lines[1] = '' end
for at = 10, #ARGV, 3 do
  local ms = now_ms - tonumber(ARGV[at])
  lines[#lines + 1] = string.format('%d.%03d', math.floor(ms / 1000), ms % 1000) .. ' ' .. attempt .. ' ' .. ARGV[at + 1] .. ' '
    .. ARGV[at + 2]
end
if #lines > 0 then
  local extra = call('RPUSH', key, unpack(lines)) - LINES - 1
  if extra > 0 then
    left_out = left_out + extra
    call('LPOP', key, extra) -- what is first now makes room for the head
  end
  local written = created_at .. ' ' .. string.format('%d', left_out)
  if written ~= head then call('LSET', key, 0, written) end
end
if ttl == '-1' then call('PERSIST', key) else call('EXPIRE', key, ttl == '' and JOURNAL_SECONDS or ttl) end
return 1
