-- Name the jobs among ARGV[3…] that stand in no list although their status promises one. Changes nothing.
-- KEYS: none. ARGV: prefix, '' (no single worker), ids…
-- Returns {id, status, queue, mark}…; the mark is for `mend`.
local found = {}
for at = 3, #ARGV do
  local status, origin, mark = homeless(ARGV[at])
  if status then found[#found + 1] = {ARGV[at], status, origin, mark} end
end
return found
