"""The scoreboard as Prometheus metrics.

Read at scrape time from shared memory (and ``/proc`` for memory sizes), so a scrape works while Redis is
away. Counters are per consumer slot and go on counting when a child is replaced. Every series of a fixed
set is always present, zeros included: a series that appears only with its first event hides that event from
``rate()``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import monotonic

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.health import verdict
from worker.health.exposition import expose, gauge
from worker.process.memory import limit_bytes, proportional_bytes, with_forks_bytes
from worker.process.scoreboard import Scoreboard
from worker.process.slot import RedisState, Role, Slot, State


class ScoreboardCollector(Collector):
    """Turn one scoreboard into metric families; `release` is the deployed commit, empty when unknown."""

    def __init__(self, board: Scoreboard, *, release: str = "", clock: Callable[[], float] = monotonic) -> None:
        self._board = board
        self._release = release
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield every family, read at this moment."""
        now = self._clock()
        yield from self._instance(now)
        yield from self._jobs()
        yield from self._consumers(now)
        yield from self._redis(now)
        yield from self._children()
        yield from self._letters(now)

    def _instance(self, now: float) -> Iterator[Metric]:
        header = self._board.header
        yield InfoMetricFamily("worker_build", "What is deployed.", {"release": self._release})
        yield gauge("worker_uptime_seconds", "Seconds since the supervisor started.", now - header.started_at)
        yield gauge("worker_quiet", "1 while the worker is quiet: it claims no new jobs.", header.quiet)
        yield gauge("worker_stopping", "1 during a soft stop, 2 during a hard one.", header.stopping)
        for name, question in (
            ("live", verdict.live),
            ("ready", verdict.ready),
            ("healthy", verdict.healthy),
        ):
            answer = question(self._board, now)
            yield gauge(f"worker_{name}", f"1 when the {name} probe passes.", answer.passed)

    def _jobs(self) -> Iterator[Metric]:
        finished = CounterMetricFamily("worker_jobs_finished", "Jobs that returned.", labels=["consumer"])
        failed = CounterMetricFamily("worker_jobs_failed", "Attempts that raised, retried or not.", labels=["consumer"])
        buried = CounterMetricFamily("worker_jobs_buried", "Jobs that became dead letters.", labels=["consumer"])
        busy = CounterMetricFamily("worker_busy_seconds", "Seconds spent in job code.", labels=["consumer"])
        for slot in self._board.consumers:
            if slot.generation:
                labels = [str(slot.index)]
                finished.add_metric(labels, slot.finished)
                failed.add_metric(labels, slot.failed)
                buried.add_metric(labels, slot.buried)
                busy.add_metric(labels, slot.busy_seconds)
        yield from (finished, failed, buried, busy)

    def _consumers(self, now: float) -> Iterator[Metric]:
        board = self._board
        yield gauge("worker_consumers_wanted", "Consumers that should exist.", board.header.wanted_consumers)
        yield gauge("worker_consumers_living", "Consumers that exist.", verdict.living_consumers(board))
        by_state = dict.fromkeys((state for state in State if state is not State.EMPTY), 0)
        claim_age = GaugeMetricFamily(
            "worker_last_claim_age_seconds",
            "Seconds since Redis last answered a claim, even an empty one.",
            labels=["consumer"],
        )
        deaf = GaugeMetricFamily(
            "worker_unanswered_seconds",
            "Seconds that jobs have waited for a consumer that is idle; 0 = it answers its wake-ups.",
            labels=["consumer"],
        )
        running = GaugeMetricFamily(
            "worker_job_running_seconds",
            "Seconds that the running job has taken so far.",
            labels=["consumer"],
        )
        for slot in board.consumers:
            if not slot.pid:
                continue
            state = State(slot.state)
            by_state[State.BOOTING if state is State.EMPTY else state] += 1
            deaf.add_metric([str(slot.index)], slot.deaf_for(now))
            if slot.claimed_at:
                claim_age.add_metric([str(slot.index)], now - slot.claimed_at)
            if verdict.runs_job(slot):
                running.add_metric([str(slot.index)], now - slot.job_started_at)
        states = GaugeMetricFamily("worker_consumers", "Consumers by what they do now.", labels=["state"])
        for state, count in by_state.items():
            states.add_metric([state.name.lower()], count)
        yield from (states, claim_age, deaf, running)

    def _redis(self, now: float) -> Iterator[Metric]:
        connected = GaugeMetricFamily(
            "worker_redis_connected", "1 while the child's own connection to Redis works.", labels=["child"]
        )
        outage = GaugeMetricFamily(
            "worker_redis_outage_seconds",
            "Age of the present outage by its reason; 0 = none.",
            labels=["reason"],
        )
        ages = dict.fromkeys((*verdict.CAUSES, verdict.UNKNOWN_CAUSE), 0.0)
        for slot in self._board.living():
            if slot.role == Role.HEALTH:
                continue
            connected.add_metric([_child(slot)], float(slot.redis_state == RedisState.CONNECTED))
            if slot.redis_state == RedisState.OUTAGE:
                cause = verdict.cause_of(slot)
                ages[cause] = max(ages[cause], now - slot.redis_since)
        for cause, age in ages.items():
            outage.add_metric([cause], age)
        yield from (connected, outage)

    def _letters(self, now: float) -> Iterator[Metric]:
        """Only the instance that counts dead letters for the fleet has these series: take the `max` over instances."""
        letters = self._board.dead_letters
        if not letters.fresh(now):
            return
        counts = GaugeMetricFamily(
            "worker_dead_letters", "Dead letters by their queue and reason.", labels=["queue", "reason"]
        )
        for queue, reason, count in letters.counts():
            counts.add_metric([queue, reason], count)
        age = now - letters.oldest_at if letters.oldest_at else 0.0
        yield counts
        yield gauge("worker_dead_letter_oldest_age_seconds", "Age of the oldest dead letter; 0 = none.", age)

    def _children(self) -> Iterator[Metric]:
        restarts = CounterMetricFamily(
            "worker_child_restarts", "Children that replaced an earlier one in their slot.", labels=["child"]
        )
        memory = GaugeMetricFamily(
            "worker_resident_memory_bytes",
            "Resident memory of each process, with its jobs' forks; pages shared between processes count in each.",
            labels=["child"],
        )
        proportional = GaugeMetricFamily(
            "worker_proportional_memory_bytes",
            "Memory of each process, with its jobs' forks; each counts its share of shared pages: the sum is right.",
            labels=["child"],
        )
        processes: list[tuple[str, int, list[int]]] = [("supervisor", self._board.header.supervisor_pid, [])]
        for slot in self._board:
            if slot.generation:
                restarts.add_metric([_child(slot)], slot.generation - 1)
            if slot.pid:
                processes.append((_child(slot), slot.pid, slot.forked_pids()))
        for child, pid, forks in processes:
            _add(memory, child, with_forks_bytes(pid, forks))
            _add(proportional, child, _total(map(proportional_bytes, (pid, *forks))))
        yield from (restarts, memory, proportional)
        yield gauge("worker_memory_limit_bytes", "The container's memory limit; 0 = none is known.", limit_bytes() or 0)


def exposition(board: Scoreboard, *, release: str, accept: str, named: bool) -> tuple[str, bytes]:
    """Return the content type and the text of a scrape whose ``Accept`` header is `accept`; see `expose`."""
    return expose(ScoreboardCollector(board, release=release), accept, named=named)


def _add(family: GaugeMetricFamily, child: str, size: int | None) -> None:
    if size is not None:
        family.add_metric([child], size)


def _total(sizes: Iterable[int | None]) -> int | None:
    """Sum what is known; None where nothing is."""
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None


def _child(slot: Slot) -> str:
    """Name a child as the logs do: ``consumer-0``, ``dispatcher``, ``health``."""
    return f"consumer-{slot.index}" if slot.role == Role.CONSUMER else Role(slot.role).name.lower()
