-- Return the strays among ARGV[3…]. Changes nothing. See _strays.lua.
-- KEYS: none. ARGV: prefix, '' (no single worker), ids…
-- Returns {id, status, queue, mark}…; the mark is for `return_strays.lua`.
local found = {}
for at = 3, #ARGV do
  local status, origin, mark = stray(ARGV[at])
  if status then found[#found + 1] = {ARGV[at], status, origin, mark} end
end
return found
