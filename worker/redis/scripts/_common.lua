-- Prepended to every script. RQ 3.0's keys, with P = RQ's key prefix (ARGV[1]), under their names in worker/keys.py:
--   queues P:queues set · suspended P:suspended string · queue P:queue:<q> list of ids
--   job P:job:<id> hash · results P:results:<id> stream · dependents P:job:<id>:dependents set
--   dependencies P:job::<id>:dependencies set · executions P:executions:<id> zset
--   execution P:execution:<id>:<e> hash · registry P:wip:<q> zset of "<id>:<e>" → end of the lease
--   registry P:finished:<q> zset · registry P:failed:<q> zset · registry P:scheduled:<q> zset
--   worker P:worker:<w> hash · worker_executions P:worker:<w>:executions set of "<id>:<e>"
--   journal P:journal:<id> hash, ours (journal.lua) · log P:log:<id> list, ours (log.lua)
--   history P:history:<period>:<number> hash, ours (tally.lua) · releases P:history:releases hash, ours (tally.lua)
-- The entry in P:wip is the claim: whoever removes it owns the job's next state. That is the fence.
-- All times come from this server's clock. `ago` arguments are microseconds before this call.
local P, W = ARGV[1], ARGV[2]
local call = redis.call
-- What is called by this name is nothing that the worker needs (``worker/redis/needs.py``); its answer may be a refusal.
local optional = redis.pcall
local clock = call('TIME')
local NOW, NOW_US = tonumber(clock[1]), tonumber(clock[2])
local WORKER_KEY = P .. ':worker:' .. W
local EXECUTIONS_KEY = WORKER_KEY .. ':executions'
local REGISTERED = redis.pcall('HEXISTS', WORKER_KEY, 'birth')
if type(REGISTERED) == 'table' then -- it holds something else: `register` makes room
  if not string.find(REGISTERED.err, 'WRONGTYPE', 1, true) then error(redis.REDIS_VERSION_NUM and REGISTERED or REGISTERED.err, 0) end
  REGISTERED = 0
end
-- What we write on a job's hash about its failed attempts. It is kept for people to see; once the job has succeeded
-- (the field `past`) or is a dead letter (`dead_letter`), the job's next claim removes it.
local TRACES = {'attempts', 'crashes', 'handbacks', 'last_error', 'first_failed_at', 'suspect', 'unknown'}
-- How long the journal and the log of a job that has no end yet live after their last use. A deletion by RQ leaves them so long,
-- at most.
local JOURNAL_SECONDS = 30 * 86400

-- utc(ago) → a moment as RQ's date (2026-11-25T04:37:30.000000Z) and as a decimal Unix time. Days become a civil date
-- after Howard Hinnant's chrono algorithms; the text of a second is made once a call.
local MICROS = NOW * 1000000 + NOW_US
local second_texts = {}
local function utc(ago)
  local total = MICROS - ago
  local seconds = math.floor(total / 1000000)
  local fraction = string.format('%06d', total - seconds * 1000000)
  local texts = second_texts[seconds]
  if not texts then
    local floor = math.floor
    local days = floor(seconds / 86400)
    local rest = seconds - days * 86400
    local z = days + 719468
    local era = floor(z / 146097)
    local doe = z - era * 146097
    local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
    local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
    local mp = floor((5 * doy + 2) / 153)
    local month = mp < 10 and mp + 3 or mp - 9
    texts = {string.format('%04d-%02d-%02dT%02d:%02d:%02d.', yoe + era * 400 + (month <= 2 and 1 or 0), month,
      doy - floor((153 * mp + 2) / 5) + 1, floor(rest / 3600), floor(rest / 60) % 60, rest % 60), seconds .. '.'}
    second_texts[seconds] = texts
  end
  return texts[1] .. fraction .. 'Z', texts[2] .. fraction
end

-- The rule of every script that moves a job. A command that the server refuses in the middle (no right to it, a key of
-- another type) leaves what was written before it. So a job's new place is written first and its old one is given up last:
-- whichever command is refused, the job is still claimed, queued or registered, and the same call completes it later. What
-- must not be there twice is looked for, or taken off, before it is written, or taken back if the giving-up is refused. A
-- job's end is taken back whole: nobody may see a job finished or failed that whoever rescues its claim runs once more.
-- tests/integration/redis/test_refusals.py refuses every command of every script.

-- Do what may be left undone: a refusal here must not undo what has been done. What stays behind expires.
local function tidy(act, ...)
  pcall(act, ...)
end

-- Raise what `redis.pcall` or `pcall` has caught. Redis 6 takes only texts.
local function raise(problem)
  if type(problem) == 'table' and not redis.REDIS_VERSION_NUM then problem = problem.err end
  error(problem, 0)
end

-- Whether the answer of `redis.pcall` is a refusal because a key holds something else.
local function wrong_type(answer)
  return string.find(answer.err, 'WRONGTYPE', 1, true) ~= nil
end

-- Write to a shared key that only tells tools about jobs: where it holds something else that is left out. The dispatcher names
-- such keys (`types.lua`).
local function note(command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) == 'table' and answer.err and not wrong_type(answer) then raise(answer) end
end

-- Delete what is in the way of a key that is ours alone.
local function make_room(key, kind)
  local found = call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then call('DEL', key) end
end

-- Read a field of a hash; nil where there is none, or where the key holds something else.
local function field(key, name)
  local answer = redis.pcall('HGET', key, name)
  if type(answer) == 'table' then
    if not wrong_type(answer) then raise(answer) end
    return nil
  end
  return answer or nil
end

-- Redis refuses a script for want of memory only before its first write. A script that frees memory, that brings jobs to an
-- end or saves those of the dead, begins with a deletion of nothing: a full server is emptied, not frozen.
local function go_on_without_memory()
  call('DEL', P .. ':nothing')
end

local function forget(id, execution)
  local member = id .. ':' .. execution
  call('DEL', P .. ':execution:' .. member)
  local answer = redis.pcall('ZREM', P .. ':executions:' .. id, execution)
  if type(answer) == 'table' and answer.err and not wrong_type(answer) then raise(answer) end
  note('SREM', EXECUTIONS_KEY, member)
end

-- Whether a claim is ours: not rescued, settled, deleted or canceled (RQ's cancel() removes the entry) meanwhile. If it is
-- not, what we wrote down about it goes, too: a worker that seems to hold something for ever never counts as idle.
local function ours(origin, id, execution)
  if call('ZSCORE', P .. ':wip:' .. origin, id .. ':' .. execution) then return true end
  forget(id, execution)
  return false
end

-- Give up a claim. If the server refuses that, `take_back` undoes what put the job in its new place; if it does not, the
-- job is not ours any more, and nothing that follows may fail.
local function give_up(origin, id, execution, take_back)
  local reply = redis.pcall('ZREM', P .. ':wip:' .. origin, id .. ':' .. execution)
  if type(reply) == 'table' and reply.err then
    if take_back then take_back() end
    raise(reply)
  end
  tidy(forget, id, execution)
end

-- Take back the end of a job, which a refusal has cut off, in one of the registries: the job is claimed and has no result.
-- Without the right to XDEL the result stays (and is found again by the same call). An entry that cannot be removed counts
-- as expired.
local function take_end_back(id, registry, result)
  local job = P .. ':job:' .. id
  if result then optional('XDEL', P .. ':results:' .. id, result) end
  redis.pcall('HSET', job, 'status', 'started')
  redis.pcall('HDEL', job, 'past')
  for _, key in ipairs({job, job .. ':dependents', P .. ':job::' .. id .. ':dependencies'}) do redis.pcall('PERSIST', key) end
  if type(redis.pcall('ZREM', registry, id)) == 'table' then redis.pcall('ZADD', registry, 'XX', 0, id) end
end

-- Read a whole number that a producer wrote on a job's hash; nil when it is no sensible one. Such a job is buried when
-- it is claimed; until then no script may fail half-way because of it.
local function count_of(text)
  local number = tonumber(text or '')
  if number and number >= 1 and number < 2147483648 and number == math.floor(number) then return number end
end

-- The meta of a job if somebody has written it since it was read; nil when it is as it was seen (`digest`: SHA1, hex), or as we
-- write it (`written`), by a call that was refused later on. Job code and other processes write it at any moment.
local function meta_moved(job, digest, written)
  local stored = call('HGET', job, 'meta') or ''
  if stored ~= written and redis.sha1hex(stored) ~= digest then return stored end
end

-- Give a job's hash, and the sets that go with it, `ttl` seconds to live, as RQ's Job.cleanup does.
local function expire(id, ttl)
  call('EXPIRE', P .. ':job:' .. id, ttl)
  call('EXPIRE', P .. ':job:' .. id .. ':dependents', ttl)
  call('EXPIRE', P .. ':job::' .. id .. ':dependencies', ttl)
end

-- Put one job, which is claimed, back at the head of its queue as if it had never been popped, and give up the claim. Its
-- wait begins anew: it has not stood there meanwhile.
local function put_back(origin, queue, id, execution, ...)
  local job, list = P .. ':job:' .. id, P .. ':queue:' .. queue
  note('SADD', P .. ':queues', list)
  call('HSET', job, 'status', 'queued', 'started_at', '', 'last_heartbeat', '', 'worker_name', '',
    'enqueued_at', (utc(0)), ...)
  local ttl = count_of(call('HGET', job, 'ttl'))
  if ttl then call('EXPIRE', job, ttl) else call('PERSIST', job) end
  call('LPUSH', list, id)
  give_up(origin, id, execution, function() redis.pcall('LREM', list, 1, id) end)
end

local function count_failure(busy_us)
  if REGISTERED == 1 then
    call('HINCRBY', WORKER_KEY, 'failed_job_count', 1)
    call('HINCRBYFLOAT', WORKER_KEY, 'total_working_time', string.format('%.6f', busy_us / 1000000))
  end
end

-- Add one result to a job's stream, as RQ does; returns its id in the stream. `again`: it may stand there already, written
-- by a call that was refused.
local function add_result(id, execution, again, ...)
  local results = P .. ':results:' .. id
  if again then
    local last = call('XREVRANGE', results, '+', '-', 'COUNT', 1)[1]
    for at = 1, last and #last[2] or 0, 2 do
      if last[2][at] == 'execution_id' and last[2][at + 1] == execution then return last[1] end
    end
  end
  return call('XADD', results, 'MAXLEN', '~', '10', '*', ...)
end

-- Free what the server has set aside in a stream for further entries: 4 kB in the first node, however little is in it. A
-- copy has no such room. A server, or a user's rights, without COPY or RENAME keeps the room.
local function shrink(stream)
  local copy = stream .. ':copy'
  if optional('COPY', stream, copy, 'REPLACE') ~= 1 then return end
  local reply = optional('RENAME', copy, stream)
  if type(reply) == 'table' and reply.err then tidy(call, 'DEL', copy) end
end
