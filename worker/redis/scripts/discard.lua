-- Delete dead letters with all that RQ keeps of them, as `Job.delete` does.
-- KEYS: none. ARGV: as in _letters.lua, then two values each: id, the `ended_at` that was seen ('' = any).
-- Returns 1 or 0 for each: 0 = it is no longer a dead letter, or has failed again since it was read.
-- Touches besides those of _letters.lua: P:job:<id>:dependents set, P:job::<id>:dependencies set, rq's group sets.
local replies, done = {}, {}
for at = 8, #ARGV, 2 do
  local id, seen = ARGV[at], ARGV[at + 1]
  local job, reply = P .. ':job:' .. id, 0
  local ended_at, group = unpack(call('HMGET', job, 'ended_at', 'group_id'))
  local origin = (seen == '' or ended_at == seen) and origin_of_letter(id)
  if origin then
    local failed = P .. ':failed:' .. origin
    local score = call('ZSCORE', failed, id)
    if group then call('SREM', P .. ':group:' .. group, id) end
    local listed = unlist(id)
    local well, problem = pcall(function()
      call('ZREM', failed, id)
      call('DEL', job, job .. ':dependents', P .. ':job::' .. id .. ':dependencies', P .. ':results:' .. id,
        P .. ':journal:' .. id, P .. ':log:' .. id)
    end)
    if not well then
      if score then redis.pcall('ZADD', failed, score, id) end
      if listed > 0 then redis.pcall('LPUSH', LETTERS, id) end
      raise(problem)
    end
    reply, done[#done + 1] = 1, id
  elseif not ended_at and call('EXISTS', job) == 0 then
    unlist(id)
  end
  replies[#replies + 1] = reply
end
audit(done)
return replies
