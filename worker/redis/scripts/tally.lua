-- Add what a consumer has counted to the history of the functions: to the record of this minute and to that of these ten minutes.
-- KEYS: none.
-- ARGV: prefix, '' (no single worker), release ('' = unknown), then for each function its name and what it has done, as
--   worker/tallies.py writes it: p=3 f=1 b=1 r7=3 w0=2.
-- P:history:<period>:<number> hash: function → the same; the number counts periods (s) since 1970. It lives as long as it is shown.
-- P:history:releases hash: release → Unix time at which it was first seen, space, at which last. One that comes back after another
--   is new.
-- Returns 1.
local MOST, OTHER, AWAY, RELEASES = 100, '(other)', 900, 50
local PERIODS = {{60, 70 * 60}, {600, 73 * 3600}}

local function into(found, text)
  for name, count in string.gmatch(text, '(%a%d*)=(%d+)') do found[name] = (found[name] or 0) + tonumber(count) end
  return found
end

local function text_of(found)
  local parts = {}
  for name, count in pairs(found) do parts[#parts + 1] = name .. '=' .. string.format('%d', count) end
  return table.concat(parts, ' ')
end

for _, period in ipairs(PERIODS) do
  local key = P .. ':history:' .. period[1] .. ':' .. string.format('%d', math.floor(NOW / period[1]))
  make_room(key, 'hash')
  local functions -- counted when a name is new
  for at = 4, #ARGV, 2 do
    local name = ARGV[at]
    local held = call('HGET', key, name)
    if not held then
      functions = functions or #call('HGETALL', key) / 2
      if functions >= MOST then
        name = OTHER
        held = call('HGET', key, name)
      end
      functions = functions + (held and 0 or 1)
    end
    call('HSET', key, name, text_of(into(into({}, held or ''), ARGV[at + 1])))
  end
  call('EXPIRE', key, period[2])
end

local release = ARGV[3]
if release ~= '' then
  local key = P .. ':history:releases'
  make_room(key, 'hash')
  local others, rows, first, last = call('HGETALL', key), 0, nil, nil
  local newest = 0 -- when another one was first seen
  for at = 1, #others, 2 do
    local began, seen = string.match(others[at + 1], '^(%d+) (%d+)$')
    began, seen = tonumber(began or 0), tonumber(seen or 0)
    if others[at] == release then
      first, last = began, seen
    elseif NOW - seen > PERIODS[2][2] then
      call('HDEL', key, others[at])
    else
      rows, newest = rows + 1, math.max(newest, began)
    end
  end
  if not first or (newest > last and NOW - last > AWAY) then first = NOW end
  if last or rows < RELEASES then call('HSET', key, release, string.format('%d %d', first, NOW)) end
  call('EXPIRE', key, PERIODS[2][2])
end
return 1
