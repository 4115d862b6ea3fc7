"""Part of `fitness`: try what a queue needs, which is write, read and delete; scripts; waiting; pub/sub."""

from __future__ import annotations

from contextlib import closing, suppress
from time import monotonic, sleep
from typing import Any, Final

from redis.client import PubSub
from redis.exceptions import RedisError, ResponseError

from worker import queue
from worker.diagnosis.case import Case, Found
from worker.diagnosis.report import Finding, Status, quoted
from worker.redis import scripts
from worker.redis.needs import KEY_TTL_SECONDS
from worker.redis.translate import translate
from worker.redis.troubles import trouble

#: Longer than a network's jitter, short enough for the step.
_BLOCK_SECONDS: Final = 1.0
#: Like the worker's scripts: a key that was not declared, and the server's clock. Some servers refuse one of these.
_SCRIPT: Final = (
    "local key = ARGV[1] redis.call('HSET', key, 'probe', redis.call('TIME')[1]) "
    "redis.call('EXPIRE', key, ARGV[2]) return redis.call('HGET', key, 'probe')"
)


def run(case: Case, found: Found) -> None:
    """Run every trial, the others after one was refused, too."""
    for trial in (_write, _script, _wait, _subscribe):
        try:
            trial(case, found)
        except ResponseError as error:
            reason = translate(error) or trouble("unknown", type(error).__name__)
            known = {finding.code for finding in found.findings if finding.status is Status.FAILED}
            if reason.code not in known:
                doing = (trial.__doc__ or "").partition(".")[0].lower()
                says = f"Trying to {doing} failed. {quoted(reason)}".strip()
                found.findings.append(Finding.of(reason, says))
    with suppress(RedisError):  # they expire after a minute
        case.redis.delete(*(case.key(name) for name in ("write", "script", "wait")))


def _write(case: Case, found: Found) -> None:
    """Write, read and delete a key."""
    key = case.key("write")
    case.redis.set(key, case.token, ex=KEY_TTL_SECONDS)
    read = case.redis.get(key)
    gone = case.redis.delete(key)
    if read != case.token.encode() or gone != 1:
        found.add(
            Status.FAILED,
            "A key that was just written was not there to read or delete.",
            "Something deletes keys (FLUSHDB, eviction), or reads go to a replica that lags: use the primary.",
            "lost_write",
        )
    else:
        found.add(Status.OK, "Write, read and delete work.")


def _script(case: Case, found: Found) -> None:
    """Run a script like the worker's. The server compiles all of those, too."""
    case.redis.script_load(_SCRIPT)
    case.redis.evalsha(case.redis.script_load(_SCRIPT), 0, case.key("script"), str(KEY_TTL_SECONDS))
    case.redis.delete(case.key("script"))
    with case.redis.pipeline(transaction=False) as pipe:
        for script in scripts.ALL:
            pipe.script_load(script.text)
        pipe.execute()
    found.add(Status.OK, f"Scripts run, and the worker's {len(scripts.ALL)} compile.")


def _wait(case: Case, found: Found) -> None:
    """Wait for a list with BLMOVE, as the worker's doorbell does, and be woken by another connection."""
    key = case.key("wait")
    pool = case.redis.connection_pool
    waiter: Any = pool.get_connection()
    try:
        waiter.send_command("BLMOVE", key, key, "LEFT", "LEFT", str(min(_BLOCK_SECONDS, case.left)))
        sleep(0.02)  # so that it waits, as a rule; either order must work
        began = monotonic()
        with case.redis.pipeline(transaction=True) as pipe:
            pipe.rpush(key, "probe")
            pipe.expire(key, KEY_TTL_SECONDS)
            pipe.execute()
        woken = waiter.read_response() == b"probe"
        seconds = monotonic() - began
    finally:
        waiter.disconnect()
        pool.release(waiter)
    case.redis.delete(key)
    found.facts["wake_seconds"] = round(seconds, 6)
    if woken:
        found.add(Status.OK, f"Waiting for a queue works: woken after {seconds * 1000:.1f} ms.")
    else:
        found.add(
            Status.FAILED,
            "A connection that waits for a list is not woken.",
            "Something between here and Redis (a proxy, a pooler) does not pass BLMOVE on: connect directly.",
            "no_blocking",
        )


def _subscribe(case: Case, found: Found) -> None:
    """Subscribe to a channel and receive a message on it."""
    channel = case.keys.channel(f"diagnosis-{case.token}")
    with closing(queue.clone(case.redis, blocking=True)) as other, closing(PubSub(other.connection_pool)) as listener:
        listener.subscribe(channel)
        if _next(listener, case.left) is None:
            raise ResponseError("no answer to SUBSCRIBE")
        try:
            case.redis.publish(channel, "probe")
        except ResponseError:  # the worker only listens: RQ's tools publish
            found.add(Status.OK, "Subscribing works; this user may not publish.")
            return
        message = _next(listener, case.left)
    if message is None:
        found.add(
            Status.WARNING,
            "Published messages do not arrive: stopping a running job from outside will not work.",
            "Connect to the primary, without a proxy in between.",
            "no_pubsub",
        )
    else:
        found.add(Status.OK, "Pub/sub works.")


def _next(listener: PubSub, timeout: float) -> dict[str, Any] | None:
    message: dict[str, Any] | None = listener.get_message(timeout=timeout)
    return message
