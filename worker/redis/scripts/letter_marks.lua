-- Return a text that changes when anything about dead letters may have changed. Changes nothing.
-- KEYS: none. ARGV: prefix, '' (no single worker), dead-letter queue, queue names…
-- Returns: length, head and tail of the dead-letter queue, then number, first and last entry of each
-- FailedJobRegistry. The same text means that no letter and no failure was added or removed, except from the middle.
local letters = P .. ':queue:' .. ARGV[3]
local marks = {call('LLEN', letters), call('LINDEX', letters, 0) or '', call('LINDEX', letters, -1) or ''}
for at = 4, #ARGV do
  local registry = P .. ':failed:' .. ARGV[at]
  marks[#marks + 1] = call('ZCARD', registry)
  for _, rank in ipairs({0, -1}) do
    marks[#marks + 1] = table.concat(call('ZRANGE', registry, rank, rank, 'WITHSCORES'), ' ')
  end
end
return table.concat(marks, '\n')
