"""Replay dead letters: all at once, at a rate, or after a few canaries; of a command, or behind the console's pages."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic, time
from typing import Final

from worker import logs
from worker.console.actions import ActionRefused
from worker.dead_letters.batches import Batches, Tally, Throttle
from worker.dead_letters.changes import Changes
from worker.dead_letters.filter import Filter
from worker.dead_letters.letter import DeadLetter
from worker.fleet import reading
from worker.keys import Keys
from worker.redis.trouble import RedisTrouble

log = logs.get_logger()

#: How often the canaries' states are read.
CANARY_POLL_SECONDS: Final = 0.25
#: States of a job that has ended well; "": it is gone, because its result was not to be kept.
_WELL: Final = ("finished", "")
_BADLY: Final = ("failed", "stopped", "canceled")
#: Replays that go on at the same time, and how many ended ones are remembered.
MOST_RUNNING: Final = 4
MOST_REMEMBERED: Final = 20
#: How long the end waits for each batch that is under way.
_STOP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be replayed: `job_ids`, or else what matches `chosen`; `rate` is in jobs a second, None = any."""

    job_ids: tuple[str, ...] = ()
    chosen: Filter = field(default_factory=Filter)
    to: str = ""
    fresh: bool = False
    limit: int | None = None
    rate: float | None = None
    canary: int = 0
    canary_timeout: float = 300.0


class Replay:
    """One replay. `wait` sleeps and returns False when it is to stop; `warn` takes a sentence about the canaries.

    `failed` holds the canaries that did not finish, with their states; `gone` the ids of the plan that are no dead
    letters.
    """

    def __init__(
        self, changes: Changes, plan: Plan, wait: Callable[[float], bool], warn: Callable[[str], None]
    ) -> None:
        self.failed: dict[str, str] = {}
        self.gone: list[str] = []
        self._changes = changes
        self._plan = plan
        self._wait = wait
        self._warn = warn
        act = partial(changes.replay, to=plan.to, fresh=plan.fresh)
        self._work = Batches(changes.dead_letters, plan.chosen, act, throttle=Throttle(plan.rate, wait))
        # Those that are named are not read first: the script checks them. None: a filter chooses.
        self._letters: Sequence[DeadLetter] | None = [DeadLetter(job_id) for job_id in plan.job_ids] or None

    @property
    def tally(self) -> Tally:
        """Return how far it has come."""
        return self._work.tally

    def total(self) -> int | None:
        """Return how many there are to replay, if that is known without reading them all."""
        if self._letters is not None:
            return len(self._letters)
        return self._plan.limit or (None if self._plan.chosen else self._changes.dead_letters.count())

    def steps(self) -> Iterator[str]:
        """Replay, batch by batch; yields what it is at."""
        plan, work = self._plan, self._work
        canaries: list[str] = []
        if plan.canary:
            work.limit = plan.canary if plan.limit is None else min(plan.canary, plan.limit)
            for went in self._replay_all():
                canaries += went
                yield "canaries"
            yield from self._await(canaries)
            if self.failed or work.tally.stopped:
                return
        work.limit = plan.limit
        for _ in self._replay_all():
            yield "replaying"

    def _replay_all(self) -> Iterator[list[str]]:
        if self._letters is None:
            yield from self._work.through_all()
            return
        before = self._work.tally.tried
        went_all: set[str] = set()
        for went in self._work.over(self._letters):
            went_all.update(went)
            yield went
        tried = self._letters[: self._work.tally.tried - before]
        self.gone += [letter.job_id for letter in tried if letter.job_id not in went_all]
        self._letters = self._letters[len(tried) :]

    def _await(self, canaries: list[str]) -> Iterator[str]:
        """Wait until every canary has ended; note those that did not finish."""
        dead_letters, deadline = self._changes.dead_letters, monotonic() + self._plan.canary_timeout
        self._warn_if_nobody_reads(canaries)
        while canaries:
            status = dict(zip(canaries, dead_letters.status(canaries), strict=True))
            self.failed = {job_id: state for job_id, state in status.items() if state in _BADLY}
            waiting = [job_id for job_id, state in status.items() if state not in (*_WELL, *_BADLY)]
            if not waiting:
                return
            if monotonic() >= deadline:
                self.failed |= {job_id: f"still {status[job_id]} after the timeout" for job_id in waiting}
                return
            yield f"waiting for {len(waiting)} canaries"
            if not self._wait(CANARY_POLL_SECONDS):
                self._work.tally.stopped = True
                return

    def _warn_if_nobody_reads(self, canaries: list[str]) -> None:
        dead_letters = self._changes.dead_letters
        keys = Keys(dead_letters.prefix)
        for queue in {self._plan.to} if self._plan.to else sorted(set(dead_letters.origins(canaries)) - {""}):
            if not reading.readers(dead_letters.redis, keys, queue):
                self._warn(f"No consumer reads the queue {queue!r}; the canaries wait for one.")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay behind the pages is. `phase` is one of canaries, waiting, replaying, done, aborted, failed.

    `total` is None when it is not known; `failed` holds canaries and their states; `trouble` says why it failed.
    """

    run: str
    who: str
    what: str
    plan: Plan
    began: float
    phase: str = "replaying"
    done: int = 0
    total: int | None = None
    taken_by_others: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    warning: str = ""
    trouble: str = ""
    ended: float | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended."""
        return self.ended is None


class Replays:
    """The replays that were begun on the pages of this process: each has a thread, and ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, _Background] = OrderedDict()

    def start(self, changes: Changes, plan: Plan, what: str) -> Progress:
        """Begin one; raises `ActionRefused` when too many go on already."""
        if plan.to == changes.dead_letters.name:
            raise ActionRefused(f"{plan.to} holds dead letters, and no consumer reads it. Name another queue.")
        with self._lock:
            if sum(run.progress.goes_on for run in self._runs.values()) >= MOST_RUNNING:
                raise ActionRefused(f"{MOST_RUNNING} replays go on already. Wait for one, or stop one.")
            run = _Background(changes, plan, what)
            self._runs[changes.run] = run
            for old in [name for name, one in self._runs.items() if not one.progress.goes_on][:-MOST_REMEMBERED]:
                del self._runs[old]
        run.start()
        return run.progress

    def all(self) -> list[Progress]:
        """Return them, the newest first."""
        with self._lock:
            return [run.progress for run in reversed(self._runs.values())]

    def find(self, run: str) -> Progress | None:
        """Return one by its name."""
        with self._lock:
            found = self._runs.get(run)
        return None if found is None else found.progress

    def abort(self, run: str) -> bool:
        """Stop one after the batch under way; False when there is none that goes on."""
        with self._lock:
            found = self._runs.get(run)
        if found is None or not found.progress.goes_on:
            return False
        found.over.set()
        return True

    def stop(self) -> None:
        """Stop all of them, because the process ends; waits for the batches that are under way."""
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            run.over.set()
        for run in runs:
            run.join(_STOP_SECONDS)


class _Background:
    """A replay in a thread of its own. Only that thread writes `progress`, whole."""

    def __init__(self, changes: Changes, plan: Plan, what: str) -> None:
        self.over = threading.Event()
        self.progress = Progress(changes.run, changes.who, what, plan, time(), total=plan.limit)
        self._replay = Replay(changes, plan, self._wait, self._warned)
        self._thread = threading.Thread(target=self._run, name=f"replay-{changes.run}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        self._thread.join(seconds)

    def _run(self) -> None:
        phase, trouble = "failed", ""
        try:
            self._note(total=self._replay.total())
            for step in self._replay.steps():
                self._note(phase=step.partition(" ")[0])
            phase = "aborted" if self._replay.tally.stopped else "failed" if self._replay.failed else "done"
        except RedisTrouble as problem:
            trouble = f"{problem.trouble.sentence} {problem.trouble.fix}"
        except Exception:
            log.exception("console.replay_failed", run=self.progress.run)
            trouble = "The console failed; its log has the traceback, as console.replay_failed."
        self._note(phase=phase, trouble=trouble, ended=time())
        done = {"action": "replay", "count": self.progress.done, "who": self.progress.who, "run": self.progress.run}
        log.info("dead_letters.changed", **done, phase=phase, note=self.progress.what)

    def _note(self, **seen: object) -> None:
        tally, failed = self._replay.tally, tuple(self._replay.failed.items())
        counts = {"done": tally.done, "taken_by_others": tally.gone, "failed": failed}
        self.progress = replace(self.progress, **{**counts, **seen})  # type: ignore[arg-type]

    def _wait(self, seconds: float) -> bool:
        return not (self.over.wait(seconds) if seconds > 0 else self.over.is_set())

    def _warned(self, sentence: str) -> None:
        self._note(warning=sentence)
