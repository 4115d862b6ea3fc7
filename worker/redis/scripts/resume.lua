-- End pauses, everywhere: the one of exactly this function and queue, or every pause.
-- KEYS: none. Touches besides those of _pauses.lua: P:dead-letter:audit stream.
-- ARGV: prefix, '' (no single worker), function, queue, every (1 = every pause), who ('' = no audit), run, note.
-- Returns how many were ended.
go_on_without_memory()
local rules, ended = pause_rules(), {}
for _, pause in ipairs(rules.pauses()) do
  if ARGV[5] == '1' or (pause[1] == ARGV[3] and pause[2] == ARGV[4]) then ended[#ended + 1] = pause[1] .. ' ' .. pause[2] end
end
if #ended > 0 then
  if ARGV[6] ~= '' then
    call('XADD', P .. ':dead-letter:audit', 'MAXLEN', '~', '10000', '*', 'action', 'resume', 'who', ARGV[6], 'run', ARGV[7],
      'note', ARGV[8], 'count', #ended, 'ids', '')
  end
  rules.ring(RINGS_SECONDS)
  call('HDEL', PAUSED, unpack(ended))
end
if call('EXISTS', PARKED) == 1 then rules.let_go(rules.pauses()) end
return #ended
