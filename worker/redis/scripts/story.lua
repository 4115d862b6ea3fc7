-- Return what Redis knows of one job, but for its payload. Changes nothing.
-- KEYS: none. ARGV: prefix, '' (no single worker), id, most bytes that are returned of a field.
--   P:journal:<id> hash (journal.lua), P:log:<id> list (log.lua)
-- Returns {ms to live (-1 = for ever), {field, size, value, cut…}, {result's id, field, value…}…, how many dependents, some of
-- them, how many jobs it waits for, some of them, length of its queue, its place there (-1 = not seen), seconds to its time in the
-- scheduled registry ('' = none), claimed executions, {field of the journal, value, cut…}, how many fields that has, {what the log
-- holds}}; nothing when there is no such job.
local id, MOST = ARGV[3], tonumber(ARGV[4])
local job = P .. ':job:' .. id
local READ, RELATIVES, LOOKED_AT, STEPS, RESULTS = 1000000, 50, 5000, 200, 10
if call('TYPE', job).ok ~= 'hash' then return {} end

-- A field's value, cut; one that is too large to be read at all is ''.
local function part(key, name, most)
  local size = call('HSTRLEN', key, name)
  if size > READ then return size, '' end
  return size, string.sub(call('HGET', key, name) or '', 1, most)
end

local function fields()
  local found = {}
  if call('HLEN', job) > 200 then return found end
  for _, name in ipairs(call('HKEYS', job)) do
    local size, value = call('HSTRLEN', job, name), ''
    if name ~= 'data' then size, value = part(job, name, MOST) end
    found[#found + 1], found[#found + 2], found[#found + 3] = string.sub(name, 1, 100), size, value
  end
  return found
end

-- The last results, one by one until enough bytes were read: a plain worker may have kept large ones.
local function results()
  local found, read, last = {}, 0, '+'
  while #found < RESULTS and read < READ do
    local entry = call('XREVRANGE', P .. ':results:' .. id, last, '-', 'COUNT', 1)[1]
    if not entry then break end
    local row = {entry[1]}
    for at = 1, #entry[2], 2 do
      read = read + #entry[2][at + 1]
      row[#row + 1], row[#row + 2] = entry[2][at], string.sub(entry[2][at + 1], 1, READ)
    end
    found[#found + 1], last = row, '(' .. entry[1]
  end
  return found
end

local function some(key)
  local count = call('SCARD', key)
  return {count, count > 0 and call('SRANDMEMBER', key, RELATIVES) or {}}
end

-- Jobs that wait stand there, and no others.
local function place(list)
  local found = field(job, 'status') == 'queued' and call('LPOS', list, id, 'MAXLEN', LOOKED_AT)
  return {call('LLEN', list), found or -1}
end

local function journal()
  local key, found = P .. ':journal:' .. id, {}
  local count = call('HLEN', key)
  if count <= STEPS then
    for _, name in ipairs(call('HKEYS', key)) do
      local _, value = part(key, name, 2000)
      found[#found + 1], found[#found + 2] = name, value
    end
  end
  return {found, count}
end

-- What somebody else has written there may be long.
local function log(key)
  local found = call('LRANGE', key, 0, 200)
  for at, entry in ipairs(found) do found[at] = string.sub(entry, 1, 1000) end
  return found
end

-- What a key of another type refuses is left out.
local function try(read, key, otherwise)
  local well, answer = pcall(read, key)
  return well and answer or otherwise
end

local origin = field(job, 'origin') or ''
local children = try(some, job .. ':dependents', {0, {}})
local parents = try(some, P .. ':job::' .. id .. ':dependencies', {0, {}})
local stands = try(place, P .. ':queue:' .. origin, {0, -1})
local due = redis.pcall('ZSCORE', P .. ':scheduled:' .. origin, id)
due = type(due) == 'string' and tostring(tonumber(due) - NOW - NOW_US / 1000000) or ''
local claims = redis.pcall('ZRANGE', P .. ':executions:' .. id, 0, 9)
local kept = try(journal, nil, {{}, 0})
return {call('PTTL', job), fields(), try(results, nil, {}), children[1], children[2], parents[1], parents[2], stands[1],
  stands[2], due, claims.err and {} or claims, kept[1], kept[2], try(log, P .. ':log:' .. id, {})}
