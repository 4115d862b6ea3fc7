-- Take the lead for one chore, if it is due in the fleet and no other leads.
-- KEYS: none. ARGV: prefix, '' (no single worker), name, chore.
-- Returns {token, seconds to wait, this server's time (Unix, µs)}. The token is '' when there is nothing to do now: the
-- chore is not due, or another leads and may be doing it. The wait ends when it is due, or when that lead would lapse.
local name, chore = ARGV[3], ARGV[4]
local moment = string.format('%d.%06d', NOW, NOW_US)
local due, noted = unpack(call('HMGET', AGENDA_KEY, chore, chore .. '|noted'))
local wait = tonumber(due or '0') - tonumber(moment)
if wait > 0 and tonumber(noted or '0') <= NOW + 1 then return {'', tostring(wait), moment} end
local token = lead(name, '')
if not token then return {'', tostring(math.max(0, call('PTTL', LEADER_KEY)) / 1000), moment} end
return {token, '0', moment}
