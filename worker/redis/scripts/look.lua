-- Return what pages show of some jobs. Changes nothing.
-- KEYS: none. ARGV: prefix, '' (no single worker), the largest payload that is looked into, how many of its bytes are returned
-- (0 = all), most bytes of all jobs, ids…
-- Returns for each id, until those bytes are used up, 0 = there is no such job, or {status, origin, created_at, enqueued_at,
-- started_at, ended_at, attempts, worker_name, last error, description (both cut), size of the payload, payload ('' = too
-- large)}.
local MOST, HEAD, LEFT = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local TEXT = 300

local function look(id)
  local job = P .. ':job:' .. id
  local fields = redis.pcall('HMGET', job, 'status', 'origin', 'created_at', 'enqueued_at', 'started_at', 'ended_at',
    'attempts', 'worker_name')
  if fields.err or not (fields[1] or fields[3]) then return 0 end
  for at = 1, 8 do fields[at] = string.sub(fields[at] or '', 1, TEXT) end
  for at, name in ipairs({'last_error', 'description'}) do
    local size = call('HSTRLEN', job, name)
    fields[8 + at] = size > 0 and size <= 100000 and string.sub(call('HGET', job, name), 1, TEXT) or ''
    LEFT = LEFT - math.min(size, 1000)
  end
  local size = call('HSTRLEN', job, 'data')
  fields[11] = size
  fields[12] = size > 0 and size <= MOST and string.sub(call('HGET', job, 'data'), 1, HEAD > 0 and HEAD or -1) or ''
  LEFT = LEFT - 500 - #fields[12]
  return fields
end

local rows = {}
for at = 6, #ARGV do
  if LEFT <= 0 then break end
  rows[#rows + 1] = look(ARGV[at])
end
return rows
