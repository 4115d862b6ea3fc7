-- Find workers of ours that are dead but still hold claims on the queues ARGV[4…].
-- A worker is dead when its hash has expired: claims shorten its life to seconds, heartbeats prolong it. Executions of
-- plain RQ workers (their names do not begin with ARGV[3], the mark of our executions) are left to RQ's own rules.
-- KEYS: none.
-- ARGV: prefix, '' (no single worker), mark, queue names…
-- Returns {claims of ours that living workers hold, the dead workers' names…}: while there are none of the former, nobody
-- can leave anything behind. A claim whose execution record has expired too is listed under worker `lost`.
local dead, reply = {}, {0}
for at = 4, #ARGV do
  for _, member in ipairs(call('ZRANGE', P .. ':wip:' .. ARGV[at], 0, 9999)) do
    local id, execution = string.match(member, '^(.*):([^:]*)$')
    if id and string.sub(execution, 1, #ARGV[3]) == ARGV[3] then
      local name = call('HGET', P .. ':execution:' .. member, 'worker_name') or 'lost'
      if dead[name] == nil then
        dead[name] = call('EXISTS', P .. ':worker:' .. name) == 0
        if dead[name] then reply[#reply + 1] = name end
      end
      if dead[name] then
        call('SADD', P .. ':worker:' .. name .. ':executions', member)
      else
        reply[1] = reply[1] + 1
      end
    end
  end
end
return reply
