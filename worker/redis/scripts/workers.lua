-- Return what the fleet's readers know of some workers and of the jobs that they have claimed. Changes nothing.
-- KEYS: none. ARGV: prefix, '' (no single worker), fields of a worker (comma-separated), those of a job, workers' names…
-- Returns for each worker {values of its fields ('' = none), {execution, values of the job's fields…}…}.
local function fields_of(names)
  local found = {}
  for name in string.gmatch(names, '[^,]+') do found[#found + 1] = name end
  return found
end

local OF_WORKER, OF_JOB = fields_of(ARGV[3]), fields_of(ARGV[4])

-- A key that is no hash has none of them.
local function values(key, names)
  local found = redis.pcall('HMGET', key, unpack(names))
  for at = 1, #names do found[at] = not found.err and found[at] or '' end
  return found
end

local rows = {}
for at = 5, #ARGV do
  local claims = redis.pcall('SMEMBERS', P .. ':worker:' .. ARGV[at] .. ':executions')
  local row = {values(P .. ':worker:' .. ARGV[at], OF_WORKER)}
  for _, execution in ipairs(claims.err and {} or claims) do
    row[#row + 1] = {execution, unpack(values(P .. ':job:' .. (string.match(execution, '^(.*):') or ''), OF_JOB))}
  end
  rows[#rows + 1] = row
end
return rows
