"""What is measured: each function sets a stage up, watches it for seconds and returns samples by name.

The names are those of `bench.columns`. Nobody asks the workers anything while the clock runs: finished
jobs are counted by the size of the file that they append to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.delay_proxy import Meter
from bench.peers import Peer
from bench.stage import PeerError, Stage

Samples = dict[str, list[float]]

#: Seconds each way of the line in the distance measures.
DISTANCE = 0.010
#: Jobs at once in each process where the slots are fixed.
SLOTS = 16
#: Jobs that a latency run throws away: connections, caches and imports get warm.
WARM_UP = 5


@dataclass(frozen=True)
class Effort:
    """How long to measure. Times are seconds."""

    #: Most rounds of any measure.
    rounds: int
    #: A throughput run ends when its jobs are done or after so long.
    drain: float
    #: The same for runs at a distance, where RQ does a few jobs a second.
    distant_drain: float
    #: Jobs of one latency run.
    singles: int
    #: 100 ms jobs of one I/O run.
    naps: int
    #: How long an I/O run waits after its first job, so that even 32 forked workers are up.
    io_settle: float
    #: How long idle workers are watched.
    idle: float


FULL = Effort(rounds=3, drain=2.0, distant_drain=2.5, singles=50, naps=2_000, io_settle=2.0, idle=45.0)
QUICK = Effort(rounds=1, drain=1.0, distant_drain=1.5, singles=20, naps=200, io_settle=0.2, idle=4.0)


@dataclass(frozen=True)
class Drain:
    """What happened while the clock ran."""

    seconds: float
    jobs: int
    #: Commands that the server executed.
    executed: int
    #: Seconds of CPU time that workers and server used.
    cpu: float
    #: What workers sent, when a proxy stood between.
    sent: Meter

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.jobs / self.seconds


def _drain(stage: Stage, jobs: int, slots: int | None, seconds: float, settle: float = 0.3) -> Drain:
    """Start workers on a full queue and watch it empty.

    The clock starts `settle` seconds after the first job, when all processes surely work, and stops with
    the last job or after `seconds`.
    """
    stage.start_workers(slots)
    stage.wait_until_working()
    time.sleep(settle)
    executed, sent, cpu = stage.executed_commands(), stage.sent(), stage.cpu_seconds()
    before, start = stage.records.count(), time.perf_counter()
    stage.wait_until_done(jobs, seconds)
    done, watched = stage.records.count() - before, time.perf_counter() - start
    if done <= 0:
        raise PeerError(f"{before} of {jobs} jobs were done in {settle} s, and none in the {watched:.1f} s after")
    used = stage.cpu_seconds() - cpu
    return Drain(watched, done, stage.executed_commands() - executed, used, stage.sent() - sent)


def throughput(peer: Peer, effort: Effort) -> Samples:
    """Drain a queue of no-op jobs with the library's own concurrency."""
    with Stage(peer) as stage:
        jobs = max(100, round(peer.pace * (effort.drain + 0.5)))
        stage.load("append", 1, jobs)
        drain = _drain(stage, jobs, None, effort.drain)
        return {
            "throughput": [drain.rate],
            "executed": [drain.executed / drain.jobs],
            "cpu": [drain.cpu * 1000 / drain.jobs],
        }


def latency(peer: Peer, effort: Effort) -> Samples:
    """Give idle workers one job at a time; the clock runs from before the enqueuing to its first line."""
    with Stage(peer) as stage:
        stage.start_workers(None)
        stage.trickle(effort.singles + WARM_UP, seconds=8.0, gap=0.04)
        started = [nanoseconds / 1e6 for nanoseconds in stage.records.values()[WARM_UP:]]
        memory, processes = stage.pss_mb()
        return {"latency": started, "idle_pss": [memory], "idle_processes": [processes]}


def io(peer: Peer, effort: Effort) -> Samples:
    """Drain 100 ms I/O jobs with 2 × 16 slots."""
    with Stage(peer) as stage:
        stage.load("nap", 100, effort.naps)
        drain = _drain(stage, effort.naps, SLOTS, seconds=7.0, settle=effort.io_settle)
        memory, processes = stage.pss_mb()
        return {"io": [drain.rate], "io_pss": [memory], "io_processes": [processes]}


def _distant(peer: Peer, effort: Effort, slots: int | None) -> tuple[Drain, float]:
    with Stage(peer, delay=DISTANCE) as stage:
        jobs = max(400, min(peer.pace, 6_000))
        stage.load("append", 1, jobs)
        return _drain(stage, jobs, slots, effort.distant_drain), stage.round_trip_ms()


def distance(peer: Peer, effort: Effort) -> Samples:
    """Drain no-op jobs from a server 20 ms away, with the library's own concurrency."""
    drain, ping = _distant(peer, effort, None)
    return {
        "distance": [drain.rate],
        "full_round_trips": [drain.sent.round_trips / drain.jobs],
        "ping": [ping],
    }


def distance_slots(peer: Peer, effort: Effort) -> Samples:
    """Drain no-op jobs from a server 20 ms away, with 2 × 16 slots."""
    drain, ping = _distant(peer, effort, SLOTS)
    return {"distance_slots": [drain.rate], "ping": [ping]}


def single(peer: Peer, effort: Effort) -> Samples:
    """Count what workers send for jobs that come one at a time, right after each other."""
    with Stage(peer, delay=0) as stage:
        stage.start_workers(None)
        stage.trickle(WARM_UP, seconds=8.0, gap=0.001)
        before, done = stage.sent(), stage.records.count()
        stage.trickle(effort.singles, seconds=4.0, gap=0.001)
        sent, jobs = stage.sent() - before, stage.records.count() - done
        return {"single_commands": [sent.commands / jobs], "single_round_trips": [sent.round_trips / jobs]}


def idle(peers: Sequence[Peer], effort: Effort, failed: Callable[[Peer, Exception], None]) -> Mapping[str, Samples]:
    """Count what workers send when there is nothing to do; all peers idle at once, which disturbs none."""
    with ExitStack() as stack:
        stages = {}
        for peer in peers:
            try:
                stage = stack.enter_context(Stage(peer, delay=0))
                stage.start_workers(None)
                stage.trickle(2, seconds=8.0, gap=0.01)
                stages[peer.name] = stage
            except Exception as error:  # handed to the report, where the others' figures stand too
                failed(peer, error)
        time.sleep(2.0)  # what follows the last job: results, acknowledgements, first idle moments
        before, start = {name: stage.sent() for name, stage in stages.items()}, time.perf_counter()
        time.sleep(effort.idle)
        hours = (time.perf_counter() - start) / 3600
        sent = {name: stage.sent() - before[name] for name, stage in stages.items()}
        return {name: {"idle_commands": [meter.commands / hours]} for name, meter in sent.items()}


@dataclass(frozen=True)
class Measure:
    """A measure that is taken peer after peer, in so many rounds: more where the figure drifts."""

    take: Callable[[Peer, Effort], Samples]
    rounds: int


ONE_BY_ONE = {
    "throughput": Measure(throughput, 3),
    "latency": Measure(latency, 2),
    "distance": Measure(distance, 2),
    "distance_slots": Measure(distance_slots, 1),
    "io": Measure(io, 1),
    "single": Measure(single, 1),
}
NAMES = (*ONE_BY_ONE, "idle")
