-- Tell which keys hold something else than they should. Changes nothing.
-- KEYS: none. ARGV: prefix, '' (no single worker), then key, type,…
-- Returns {key, type found, type wanted}…; a key that is not there is well.
local wrong = {}
for at = 3, #ARGV, 2 do
  local found = call('TYPE', ARGV[at]).ok
  if found ~= 'none' and found ~= ARGV[at + 1] then wrong[#wrong + 1] = {ARGV[at], found, ARGV[at + 1]} end
end
return wrong
