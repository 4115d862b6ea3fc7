-- Change the payload of a dead letter and keep the first one, or bring that back.
-- KEYS: none. ARGV: as in _letters.lua, then id, the payload that was seen, the new payload ('' = the original one),
--   the new description.
-- Returns 1; 0 = it is no dead letter; -1 = its payload has changed since it was read; -2 = it was never edited.
-- Touches besides those of _letters.lua the fields original_data and original_description of the job's hash.
local id, seen, data, description = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local job = P .. ':job:' .. id
local status, now, described, original, first = unpack(call('HMGET', job, 'status', 'data', 'description',
  'original_data', 'original_description'))
if status ~= 'failed' then return 0 end
if (now or '') ~= seen then return -1 end
if data == '' then
  if not original then return -2 end
  call('HSET', job, 'data', original, 'description', first or '')
  call('HDEL', job, 'original_data', 'original_description')
else
  if not original then call('HSET', job, 'original_data', now or '', 'original_description', described or '') end
  call('HSET', job, 'data', data, 'description', description)
end
audit({id})
return 1
