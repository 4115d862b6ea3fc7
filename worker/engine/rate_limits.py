"""RQ's scripts that give places under a rate limit to waiting jobs, in an order that a refusal cannot break.

RQ takes a job off the set of those that wait before it writes where the job goes next. A server whose memory is full
still deletes and writes no more, and a user may lack a right: then the job stands nowhere, and nothing finds it again.
Here a job leaves that set last, and what was written is taken back. Keys, arguments and answers are RQ's.
"""

from __future__ import annotations

from typing import Final

from rq import rate_limit

#: KEYS: allowed, rate_limited. ARGV: concurrency, timestamp, enqueued_at, prefix of queues, prefix of jobs.
_ACQUIRE: Final = """
local concurrency, timestamp, enqueued_at = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local promoted = {}
while redis.call('ZCARD', KEYS[1]) < concurrency do
  local id = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  if not id then break end
  local job = ARGV[5] .. id
  local origin, status, at_front = unpack(redis.call('HMGET', job, 'origin', 'status', 'enqueue_at_front'))
  if origin and status == 'rate_limited' then
    local queue = ARGV[4] .. origin
    redis.call('ZADD', KEYS[1], timestamp, id)
    local reply = redis.pcall(at_front == '1' and 'LPUSH' or 'RPUSH', queue, id)
    if type(reply) ~= 'table' then
      reply = redis.pcall('HSET', job, 'status', 'queued', 'enqueued_at', enqueued_at)
      if type(reply) == 'table' then redis.pcall('LREM', queue, at_front == '1' and 1 or -1, id) end
    end
    if type(reply) == 'table' then
      redis.pcall('ZREM', KEYS[1], id)
      return reply
    end
    promoted[#promoted + 1] = id
  end
  redis.call('ZREM', KEYS[2], id)
end
return promoted
"""


def mend() -> None:
    """Let RQ's code in this process run these scripts instead of its own."""
    own = rate_limit.ACQUIRE_AND_ENQUEUE_SCRIPT
    for name in ("ACQUIRE_AND_ENQUEUE_SCRIPT", "RELEASE_AND_ENQUEUE_SCRIPT", "RELEASE_STALE_AND_ENQUEUE_SCRIPT"):
        text: str = getattr(rate_limit, name)
        setattr(rate_limit, name, text.replace(own, _ACQUIRE))
