"""What the monitor answers: the worker's own three questions, asked of the fleet.

* `live`: does the monitor's loop turn?
* `ready`: would some instance soon run a job that is enqueued now? A "no" is for people: uptime checks ask here.
* `healthy`: should the platform keep this monitor? Strict until Redis was reached once; afterwards a fleet in trouble
  is a "yes, degraded": restarting the monitor would not help the fleet, and would stop the autoscaler when it is
  needed.

Reasons name queues and numbers, never hosts, workers or jobs: a web service's pages are public.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from worker.fleet.monitor import View
from worker.health.verdict import CAUSES, ProbeStatus, Verdict
from worker.process.slot import RedisState

#: A look may take this long: a slow Redis, then Render's API with its retries.
MONITOR_STALE_SECONDS: Final = 120.0


def live(view: View, now: float) -> Verdict:
    """Return whether the monitor's loop turns."""
    silence = now - view.turned_at
    if silence > MONITOR_STALE_SECONDS:
        return Verdict(False, ProbeStatus.STUCK, f"The monitor has not read the fleet for {silence:.0f} s.")
    return Verdict(True, ProbeStatus.OK, "The monitor reads the fleet.")


def ready(view: View, now: float, queues: Iterable[str], max_wait: float) -> Verdict:
    """Return whether the fleet works on all of `queues`, and nothing has waited longer than `max_wait` seconds."""
    alive = live(view, now)
    if not alive.passed:
        return alive
    if view.fleet is None:
        return Verdict(False, ProbeStatus.STARTING, f"Not yet connected since the start. {_trouble(view, now)}")
    if view.redis is RedisState.OUTAGE:
        return Verdict(False, ProbeStatus.DEGRADED, _trouble(view, now))
    if view.fleet.suspended:
        return Verdict(False, ProbeStatus.QUIET, "All queues are suspended: nothing is claimed until `rq resume`.")
    wanted = set(queues)
    for queue in view.fleet.queues:
        if queue.name in wanted and not queue.consumers:
            return Verdict(False, ProbeStatus.DEGRADED, f"No living consumer reads the queue {queue.name!r}.")
        if queue.name in wanted and queue.paused:
            paused = f"The queue {queue.name!r} is paused: nothing on it is begun until `python -m worker resume`."
            return Verdict(False, ProbeStatus.QUIET, paused)
        if queue.name in wanted and (queue.next_waits or 0.0) > max_wait:
            late = f"{queue.next_waits:.0f} s, longer than {max_wait:g} s"
            return Verdict(False, ProbeStatus.DEGRADED, f"The oldest job on {queue.name!r} has waited {late}.")
    return Verdict(True, ProbeStatus.OK, "Every queue has living consumers, and no job has waited too long.")


def healthy(view: View, now: float, queues: Iterable[str], max_wait: float) -> Verdict:
    """Return whether the platform should keep this monitor."""
    fleet = ready(view, now, queues, max_wait)
    keep = view.fleet is not None and live(view, now).passed
    return Verdict(keep, fleet.status, fleet.reason)


def _trouble(view: View, now: float) -> str:
    if view.redis is not RedisState.OUTAGE:
        return "Redis has not answered yet."
    cause = CAUSES.get(view.cause, "The cause is in the monitor's log.")
    return f"Redis has been away for {now - view.since:.0f} s. {cause}"
