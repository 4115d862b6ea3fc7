-- Prepended to every script. RQ 3.0's keys, with P = RQ's key prefix (ARGV[1]), under their names in worker/keys.py:
--   queues P:queues set · suspended P:suspended string · queue P:queue:<q> list of ids
--   job P:job:<id> hash · results P:results:<id> stream · dependents P:job:<id>:dependents set
--   dependencies P:job::<id>:dependencies set · executions P:executions:<id> zset
--   execution P:execution:<id>:<e> hash · registry P:wip:<q> zset of "<id>:<e>" → end of the lease
--   registry P:finished:<q> zset · registry P:failed:<q> zset · registry P:scheduled:<q> zset
--   worker P:worker:<w> hash · worker_executions P:worker:<w>:executions set of "<id>:<e>"
-- The entry in P:wip is the claim: whoever removes it owns the job's next state. That is the fence.
-- All times come from this server's clock. `ago` arguments are microseconds before this call.
local P, W = ARGV[1], ARGV[2]
local call = redis.call
local clock = call('TIME')
local NOW, NOW_US = tonumber(clock[1]), tonumber(clock[2])
local WORKER_KEY = P .. ':worker:' .. W
local EXECUTIONS_KEY = WORKER_KEY .. ':executions'
local REGISTERED = call('HEXISTS', WORKER_KEY, 'birth')
-- What we write on a job's hash about its failed attempts. It is kept for people to see; once the job has succeeded
-- (the field `past`) or is a dead letter (`dead_letter`), the job's next claim removes it.
local TRACES = {'attempts', 'crashes', 'handbacks', 'last_error', 'first_failed_at', 'suspect', 'unknown'}

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

local function forget(id, execution)
  local member = id .. ':' .. execution
  call('DEL', P .. ':execution:' .. member)
  call('ZREM', P .. ':executions:' .. id, execution)
  call('SREM', EXECUTIONS_KEY, member)
end

-- Give up the claim of one execution. False: it was no longer ours (rescued, deleted, or settled before). Our notes of
-- it are removed then too, because a worker that seems to hold a claim never counts as idle.
-- RQ lets a job that is canceled while it runs finish as usual: cancel() removes its entry but not its execution.
local function take(origin, id, execution)
  local member = id .. ':' .. execution
  if call('ZREM', P .. ':wip:' .. origin, member) == 1 then return true end
  if call('HGET', P .. ':job:' .. id, 'status') == 'canceled'
    and call('EXISTS', P .. ':execution:' .. member) == 1 then return true end
  forget(id, execution)
  return false
end

-- Read a whole number that a producer wrote on a job's hash; nil when it is no sensible one. Such a job is buried when
-- it is claimed; until then no script may fail half-way because of it.
local function count_of(text)
  local number = tonumber(text or '')
  if number and number >= 1 and number < 2147483648 and number == math.floor(number) then return number end
end

-- Give a job's hash, and the sets that go with it, `ttl` seconds to live, as RQ's Job.cleanup does.
local function expire(id, ttl)
  call('EXPIRE', P .. ':job:' .. id, ttl)
  call('EXPIRE', P .. ':job:' .. id .. ':dependents', ttl)
  call('EXPIRE', P .. ':job::' .. id .. ':dependencies', ttl)
end

-- Put one job, whose claim was just taken, back at the head of its queue as if it had never been popped.
local function put_back(origin, queue, id, ...)
  local job = P .. ':job:' .. id
  call('HSET', job, 'status', 'queued', 'started_at', '', 'last_heartbeat', '', 'worker_name', '', ...)
  local ttl = count_of(call('HGET', job, 'ttl'))
  if ttl then call('EXPIRE', job, ttl) end
  call('LPUSH', P .. ':queue:' .. queue, id)
  call('SADD', P .. ':queues', P .. ':queue:' .. queue)
end

local function count_failure(busy_us)
  if REGISTERED == 1 then
    call('HINCRBY', WORKER_KEY, 'failed_job_count', 1)
    call('HINCRBYFLOAT', WORKER_KEY, 'total_working_time', string.format('%.6f', busy_us / 1000000))
  end
end
