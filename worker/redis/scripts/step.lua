-- Let all that waits come when it would have come, although this server's clock has stepped: its dates step with the clock.
-- KEYS: none. ARGV: prefix, '' (no single worker), by how much it has stepped (s; negative = back), the time by the old clock
--   when the caller last heard it, number of queues, queue names…, entries of the schedule that are intervals…
-- Returns how many dates were changed: of scheduled jobs, of the last firings of intervals, of the ends of pauses. What another
-- instance has changed since the caller last heard the time is left alone.
-- A clock that was set forth: a scheduled job that has not run was given its date by its producer's clock, and keeps it, unless
-- it was changed here when the clock was set back.
-- P:clock hash: what was changed (scheduled <queue>, interval <entry>, paused) → when, Unix time by the clock of then.
-- P:clock:dates hash: "<queue> <id>" → the date that a scheduled job was given here.
local CLOCK, DATES, KEPT_SECONDS = P .. ':clock', P .. ':clock:dates', 30 * 86400
local step, queue_count = tonumber(ARGV[3]), tonumber(ARGV[5])
local since, changed = tonumber(ARGV[4]) + step, 0
local moment = string.format('%d.%06d', NOW, NOW_US)

-- Change the dates of one kind, unless another instance has done it.
local function once(what, change)
  local at = tonumber(field(CLOCK, what) or '')
  if at and at >= since - 1 and at <= tonumber(moment) then return end
  call('HSET', CLOCK, 'at', moment) -- to be refused, if it is, before a date is changed
  change()
  call('HSET', CLOCK, what, moment)
end

local function scheduled(queue)
  local registry = P .. ':scheduled:' .. queue
  local entries, args, dates = call('ZRANGE', registry, 0, -1, 'WITHSCORES'), {}, {}
  for at = 1, #entries, 2 do
    local id, date = entries[at], tonumber(entries[at + 1])
    local known = queue .. ' ' .. id
    local ran = (field(P .. ':job:' .. id, 'started_at') or '') ~= ''
    if step < 0 or ran or tonumber(field(DATES, known) or '') == date then
      date = math.ceil(date + step)
      args[#args + 1], args[#args + 2] = date, id
      if not ran then dates[#dates + 1], dates[#dates + 2] = known, date end
      changed = changed + 1
    end
  end
  for from = 1, #args, 2000 do
    local to = math.min(from + 1999, #args)
    call('ZADD', registry, 'XX', unpack(args, from, to))
  end
  for from = 1, #dates, 2000 do call('HSET', DATES, unpack(dates, from, math.min(from + 1999, #dates))) end
  if #dates > 0 then call('EXPIRE', DATES, KEPT_SECONDS) end
end

-- A firing of the last minute is one by the new clock.
local function interval(entry)
  local runs = P .. ':cron-runs'
  local firing, ran = string.match(field(runs, entry) or '', '^([%d.]+)|(.*)$')
  firing = tonumber(firing or '')
  if not firing or math.abs(firing - tonumber(moment)) < 60 then return end
  call('HSET', runs, entry, string.format('%.6f', firing + step) .. '|' .. ran)
  changed = changed + 1
end

local function paused()
  local pauses = redis.pcall('HGETALL', P .. ':paused')
  for at = 1, #pauses, 2 do
    local last, rest = string.match(pauses[at + 1], '^(%d+)(.*)$')
    if last and last ~= '0' then
      call('HSET', P .. ':paused', pauses[at], string.format('%d', math.max(1, math.ceil(tonumber(last) + step))) .. rest)
      changed = changed + 1
    end
  end
end

make_room(CLOCK, 'hash')
make_room(DATES, 'hash')
for at = 6, 5 + queue_count do
  once('scheduled ' .. ARGV[at], function() scheduled(ARGV[at]) end)
end
for at = 6 + queue_count, #ARGV do
  once('interval ' .. ARGV[at], function() interval(ARGV[at]) end)
end
once('paused', paused)
call('EXPIRE', CLOCK, KEPT_SECONDS)
return changed
