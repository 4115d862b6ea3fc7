-- Give the lead up, so that another instance need not wait for it to lapse.
-- KEYS: none. ARGV: prefix, '' (no single worker), name. Returns 1, or 0 when `name` did not lead.
if call('HGET', LEADER_KEY, 'name') ~= ARGV[3] then return 0 end
return call('DEL', LEADER_KEY)
