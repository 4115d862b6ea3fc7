-- Write one job's keys into the database that a migration fills, unless the job lives there already.
-- KEYS: the job's hash, set of ids that were copied, set of ids that were moved (an index holds them: they live here).
-- ARGV: id, then commands, each as its number of words and the words.
-- Returns 1: written; 0: moved before, so this database has the newer state; -1: this database has a job of that id.
local call, id = redis.call, ARGV[1]
if call('SISMEMBER', KEYS[3], id) == 1 then return 0 end
if call('SISMEMBER', KEYS[2], id) == 0 and call('EXISTS', KEYS[1]) == 1 then return -1 end
local at = 2
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  call(unpack(ARGV, at + 1, at + words))
  at = at + 1 + words
end
call('SADD', KEYS[2], id)
return 1
