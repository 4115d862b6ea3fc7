"""The account of a storm: what became of each accepted job and each firing of the schedule, and why any ran again."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import redis as redis_py
from rq.job import Job

from tests.faults.storm.blows import LOWERING_LIMITS
from tests.faults.storm.kinds import GONE, Expected
from tests.support.checker import Places
from worker.keys import Keys

KEYS = Keys("rq")
#: How long no firing of the schedule may be enqueued: leader after leader is killed, and whoever comes next is refused.
SILENCE_SECONDS = 120.0
#: From a run until the server is asked to keep its result, and refuses.
REFUSED_SECONDS = 60.0
#: A process that was hit may have written its line a little before, by another clock reading.
SLACK_SECONDS = 1.0


@dataclass(frozen=True)
class Run:
    """One line of the journal."""

    job_id: str
    round: str
    pids: tuple[int, int]  #: of the process and of its parent
    at: float


@dataclass(frozen=True)
class Struck:
    """One blow that has fallen (Unix times)."""

    name: str
    began: float
    ended: float

    def meets(self, began: float, ended: float) -> bool:
        """Whether it fell between two moments."""
        return self.began <= ended and began - SLACK_SECONDS <= self.ended


@dataclass
class Report:
    """What a storm did and what became of the jobs. `faults`: everything that should not be, in words."""

    seed: int
    seconds: float = 0.0
    blows: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)  #: by kind
    finished: int = 0
    gone: int = 0
    letters: Counter[str] = field(default_factory=Counter)  #: by reason
    again: Counter[str] = field(default_factory=Counter)  #: second runs, by what explains them
    schedule: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    settled_after: float = 0.0

    @property
    def kills_per_hour(self) -> float:
        """SIGKILLs of a process, an instance or the server."""
        kills = sum(count for name, count in self.blows.items() if name.startswith("kill"))
        return kills * 3600 / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        """Some lines for people."""
        jobs = (
            f"{self.finished} finished + {self.gone} finished that keep nothing + {self.letters.total()} dead letters"
        )
        unexplained = f"{self.again['unexplained']} of them without a blow to explain it"
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s: {self.accepted.total()} accepted = {jobs}",
            f"accepted: {_told(self.accepted)}",
            f"dead letters: {_told(self.letters)}",
            *self.schedule,
            f"{self.again.total()} ran more than once, {unexplained}: {_told(self.again)}",
            f"{self.blows.total()} blows, {self.kills_per_hour:.0f} kills an hour: {_told(self.blows)}",
            f"calm after {self.settled_after:.1f} s; {len(self.faults)} faults",
        ]
        return "\n".join([*lines, *(f"FAULT: {fault}" for fault in self.faults)])


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} × {name}" for name, count in sorted(counts.items()) if count)


class Account:
    """Checks the end of a storm against what was expected, and writes the report."""

    def __init__(
        self,
        redis: redis_py.Redis,
        report: Report,
        journal: Path,
        *,
        killed: Mapping[int, float],
        struck: Sequence[Struck],
    ) -> None:
        self._redis = redis
        self._report = report
        self._killed = killed
        self._struck = struck
        self._runs: defaultdict[str, list[Run]] = defaultdict(list)
        for line in journal.read_text().splitlines():
            job_id, round_, pid, parent, moment = line.split()
            self._runs[job_id].append(Run(job_id, round_, (int(pid), int(parent)), float(moment)))

    def of_jobs(self, expected: Sequence[Expected], places: Places) -> None:
        """Each job has ended as it should, after its parents, in as many rounds as it should, and is settled once."""
        ends = self._ends(expected, places)
        for job in expected:
            end, runs = ends[job.job_id], self._runs[job.job_id]
            self._report.accepted[job.kind] += 1
            if end not in job.ends and not (end == "failed_elsewhere" and self._died_over_its_end(job, runs)):
                self._fault(job, f"ended as {end} instead of {' or '.join(job.ends)}: {self._why(job.job_id)}")
            if end == "outcome_refused" and len(job.ends) > 1 and not self._limit_was_low(runs):
                self._fault(job, f"outcome refused while no limit was lowered: {self._why(job.job_id)}")
            rounds = {run.round for run in runs}
            if len(rounds) != job.rounds:
                self._fault(job, f"{len(rounds)} rounds instead of {job.rounds}: {sorted(rounds)}")
            for parent in job.parents:
                if runs and self._runs[parent] and runs[0].at < self._runs[parent][-1].at:
                    self._fault(job, f"ran before its parent {parent} had ended")
            self._explain(runs)
        self._are_settled_once(expected)
        self._have_meta(expected, ends)

    def of_schedule(self, name: str, interval: float, until: float) -> None:
        """Each firing of a line was enqueued once, but for those that fell due while nobody could enqueue them.

        A job is enqueued after its firing, as a rule before the next one. Of two that were enqueued between the same
        two firings the first one is late, if the firing before is not enqueued by another one.
        """
        jobs = self._redis.zrange(f"rq:cron_job:{name}:jobs", 0, -1, withscores=True)
        if not jobs:
            return
        (last,) = (
            value
            for entry, value in self._redis.hgetall(KEYS.cron_runs).items()
            if entry.decode().startswith(f"{name}:")
        )
        grid = float(last.split(b"|")[0]) % interval
        after = float("inf")
        for job_id, at in reversed(jobs):
            firing = min((at - grid) // interval, after - 1)
            if firing < (at - grid) // interval - 1:
                self._report.faults.append(f"schedule {name}: {job_id.decode()} at {at} is a firing too many")
            after = firing
        times = [at for _, at in jobs]
        firings = int((until - grid) // interval - after) + 1
        silence = max(second - first for first, second in pairwise([*times, until]))
        self._report.schedule.append(
            f"schedule: {len(jobs)} of {firings} firings of {name.rpartition('.')[2]} (every {interval:g} s) enqueued, "
            f"the others fell due while nobody could; longest silence {silence:.1f} s"
        )
        if silence > interval + SILENCE_SECONDS:
            self._report.faults.append(f"schedule {name}: silent for {silence:.1f} s")

    def _ends(self, expected: Sequence[Expected], places: Places) -> dict[str, str]:
        ends = dict.fromkeys(places.finished, "finished")
        for job_id, record in zip(places.dead, self._fields(places.dead, "dead_letter"), strict=True):
            ends[job_id] = json.loads(record)["reason"] if record else "failed without a letter"
        for job in expected:
            ends.setdefault(job.job_id, GONE[0] if self._runs[job.job_id] else "lost without a run")
        counts = Counter(ends[job.job_id] for job in expected)
        self._report.finished, self._report.gone = counts.pop("finished", 0), counts.pop(GONE[0], 0)
        self._report.letters = counts
        return ends

    def _explain(self, runs: Iterable[Run]) -> None:
        """A second run of a round needs a blow since the first one began; as a rule its process was killed."""
        by_round: defaultdict[str, list[Run]] = defaultdict(list)
        for run in runs:
            by_round[run.round].append(run)
        for first, second in (pair for same in by_round.values() for pair in pairwise(same)):
            if any(first.at - SLACK_SECONDS <= self._killed.get(pid, 0) <= second.at for pid in first.pids):
                self._report.again["its process was killed"] += 1
                continue
            blows = sorted({blow.name for blow in self._struck if blow.meets(first.at, second.at)})
            self._report.again[" + ".join(blows) or "unexplained"] += 1
            if not blows:
                self._report.faults.append(f"unexplained: {first} and {second}")

    def _died_over_its_end(self, job: Expected, runs: Sequence[Run]) -> bool:
        """Whether a failing job's process was killed between RQ's transaction, refused in part, and the letter."""
        failing = not {"failed", "attempts_exhausted"}.isdisjoint(job.ends)
        return failing and bool(runs) and any(self._killed.get(pid, 0) >= runs[-1].at for pid in runs[-1].pids)

    def _limit_was_low(self, runs: Sequence[Run]) -> bool:
        lowered = [blow for blow in self._struck if blow.name in LOWERING_LIMITS]
        return any(blow.meets(runs[0].at, runs[-1].at + REFUSED_SECONDS) for blow in lowered)

    def _are_settled_once(self, expected: Sequence[Expected]) -> None:
        once = [job for job in expected if job.rounds == 1 and job.ends != GONE]
        with self._redis.pipeline(transaction=False) as pipeline:
            for job in once:
                pipeline.xlen(KEYS.results(job.job_id))
            lengths = pipeline.execute()
        for job, length in zip(once, lengths, strict=True):
            if length != 1:
                self._fault(job, f"has {length} results of {len(self._runs[job.job_id])} runs")

    def _have_meta(self, expected: Sequence[Expected], ends: Mapping[str, str]) -> None:
        for job in expected:
            if job.kind == "saving_meta" and ends[job.job_id] == "finished":
                meta = Job.fetch(job.job_id, connection=self._redis).meta
                if meta.get("noted") != job.job_id:
                    self._fault(job, f"has saved its meta, and this is there: {meta}")

    def _why(self, job_id: str) -> str:
        record = self._redis.hget(KEYS.job(job_id), "dead_letter")
        letter = json.loads(record) if record else {}
        return f"{letter.get('exception')} {letter.get('message')!r}"

    def _fields(self, job_ids: Iterable[str], name: str) -> list[bytes | None]:
        with self._redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hget(KEYS.job(job_id), name)
            return pipeline.execute()

    def _fault(self, job: Expected, words: str) -> None:
        self._report.faults.append(f"{job.kind} job {job.job_id} {words}")
