-- Put strays back that were found some time ago, are still astray, and have not moved between.
-- KEYS: none.
-- ARGV: prefix, '' (no single worker), leader's name, token, execution to adopt jobs with (one of ours),
--   lease (s), then id, mark,…
-- Returns -1 when another leads by now, else {id, status, queue}… of those that are still astray. They were put back:
--   queued: at the head of its queue, because its turn has passed (and off RQ's intermediate list);
--   started: claimed for a worker that does not exist, so that the next rescue deals with it as with any orphan;
--   scheduled: not at all: only who keeps it knows when it is due, perhaps a program that we do not know.
if not lead(ARGV[3], ARGV[4]) then return -1 end
local returned = {}
for at = 7, #ARGV, 2 do
  local id = ARGV[at]
  local job, status, origin, mark = P .. ':job:' .. id, stray(id)
  if status and mark == ARGV[at + 1] then
    local queue = P .. ':queue:' .. origin
    if status == 'started' then
      make_room(P .. ':origins', 'set')
      call('SADD', P .. ':origins', origin) -- perhaps nobody serves that queue
      call('ZADD', P .. ':wip:' .. origin, NOW + tonumber(ARGV[6]), id .. ':' .. ARGV[5] .. string.format('%08x', at))
    elseif status == 'queued' then
      note('SADD', P .. ':queues', queue)
      call('LREM', queue .. ':intermediate', 0, id)
      call('LPUSH', queue, id)
      local reply = redis.pcall('HSET', job, 'status', 'queued', 'enqueued_at', (utc(0)))
      if type(reply) == 'table' and reply.err then
        redis.pcall('LREM', queue, 1, id)
        raise(reply)
      end
    end
    returned[#returned + 1] = {id, status, origin}
  end
end
return returned
