-- Pause the jobs of a function, of a queue, of a function on a queue, or all jobs, from now on, everywhere.
-- KEYS: none. Touches besides those of _pauses.lua: P:dead-letter:audit stream.
-- ARGV: prefix, '' (no single worker), function ('' = any), queue ('' = any), seconds ('' = no end), JSON for people, who ('' = no audit), run, note.
-- Returns {1 if it was paused before, its end (Unix time; 0 = none)}.
local entry = ARGV[3] .. ' ' .. ARGV[4]
local last = ARGV[5] == '' and 0 or math.ceil(NOW + NOW_US / 1000000 + tonumber(ARGV[5])) -- not before the time
make_room(PAUSED, 'hash')
local before = call('HEXISTS', PAUSED, entry)
if ARGV[7] ~= '' then
  call('XADD', P .. ':dead-letter:audit', 'MAXLEN', '~', '10000', '*', 'action', 'pause', 'who', ARGV[7], 'run', ARGV[8],
    'note', ARGV[9], 'count', 1, 'ids', '')
end
call('HSET', PAUSED, entry, last .. ' ' .. ARGV[6])
if before == 1 then pause_rules().ring(1) else call('DEL', RESUMED) end -- whoever waits for the old end learns of the new one
return {before, last}
