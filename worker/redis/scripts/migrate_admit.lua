-- Enter members into a queue, registry or set of the database that a migration fills: each once, even if an earlier run
-- was killed.
-- KEYS: the index, set of what was admitted, set of ids that were copied, set of ids that were moved.
-- ARGV: kind (list, zset or set), the index's name, '1' when it makes its jobs run, then member, job id ('' = not a
--   job's), score.
-- Returns {admitted now, admitted before, left out}. Left out: the member's job was not copied (it is gone, or a job of
-- this database has its id). An id is admitted to only one index that makes it run.
local call, kind, name, runs = redis.call, ARGV[1], ARGV[2], ARGV[3]
local now, before, out = 0, 0, 0
for at = 4, #ARGV, 3 do
  local member, id, score = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if id ~= '' and call('SISMEMBER', KEYS[3], id) == 0 then
    out = out + 1
  elseif call('SADD', KEYS[2], name .. '|' .. member) == 0 then
    before = before + 1
  elseif runs == '1' and call('SADD', KEYS[2], 'run|' .. id) == 0 then
    before = before + 1
  else
    now = now + 1
    if kind == 'list' then call('RPUSH', KEYS[1], member)
    elseif kind == 'zset' then call('ZADD', KEYS[1], score, member)
    else call('SADD', KEYS[1], member) end
    if id ~= '' then call('SADD', KEYS[4], id) end
  end
end
return {now, before, out}
