"""Send the logs of jobs to Redis, behind the fence of their claims: one command a second and job, and one at its end.

A line waits in memory for up to `SEND_SECONDS`; a thread sends what waits, and lives while there is something. A job
that is over sooner sends all it has said at its end. So a line costs the job microseconds, and a job that says nothing
costs nothing. A log is a convenience: trouble with Redis never fails or delays the job; the lines wait, and the oldest
make room.
"""

from __future__ import annotations

import os
from collections import deque
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Final, NamedTuple

from worker import logs
from worker.engine.outcomes import attempt_of
from worker.engine.records import Claim
from worker.job_log import MOST_LINES, cut
from worker.process import signals
from worker.redis import scripts
from worker.redis.calls import ScriptCalls
from worker.redis.trouble import RedisTrouble

log = logs.get_logger()

#: The longest that a line waits while its job runs.
SEND_SECONDS: Final = 1.0


class _Said(NamedTuple):
    at: float  #: monotonic
    percent: int | None
    text: bytes


class LogWriters:
    """Makes the writer of each run of one consumer, and the thread that sends what they hold."""

    def __init__(self, calls: ScriptCalls, worker_name: str) -> None:
        self.calls = calls
        self.worker_name = worker_name
        self._lock = Lock()
        self._waiting: list[LogWriter] = []
        self._thread: Thread | None = None

    def of(self, claim: Claim) -> LogWriter:
        """Return the writer of a run that has begun."""
        return LogWriter(self, claim)

    def send_soon(self, writer: LogWriter) -> bool:
        """Have a writer's lines sent within a second; False where the system refuses a thread for it."""
        with self._lock:
            self._waiting.append(writer)
            if self._thread is not None and self._thread.is_alive():
                return True
            self._thread = Thread(target=self._send_while_there_is_some, name="job-logs", daemon=True)
            try:
                with signals.blocked_in_threads():
                    self._thread.start()
            except RuntimeError:
                self._thread = None
                self._waiting.clear()
                return False
            return True

    def _send_while_there_is_some(self) -> None:
        while True:
            sleep(SEND_SECONDS)
            with self._lock:
                waiting, self._waiting = self._waiting, []
                if not waiting:
                    self._thread = None
                    return
            for writer in waiting:
                writer.send()


class LogWriter:
    """The log of one run. Its threads may use it at once; processes that it forks send each line themselves."""

    def __init__(self, writers: LogWriters, claim: Claim) -> None:
        self._writers = writers
        self._claim = claim
        self._pid = os.getpid()
        self._lock = Lock()  #: of what is said
        self._sending = Lock()
        self._said: deque[_Said] = deque()
        self._left_out = 0
        self._soon = False  #: the thread knows that there are lines
        self._over = False  #: the run has ended, or counts no more
        self._trouble: RedisTrouble | None = None  #: why the last lines are not in Redis yet

    def add(self, message: object, percent: int | None = None) -> None:
        """Say a line."""
        line = _Said(monotonic(), percent, cut(message))
        if os.getpid() != self._pid:  # forked by the job: our thread is not there, and locks may be held for ever
            self._call([line], 0, "")
            return
        with self._lock:
            if self._over:
                return
            last = self._said[-1] if self._said else None
            if percent is not None and last is not None and last.percent is not None and last.text == line.text:
                self._said.pop()  # of a loop's progress the latest
            self._said.append(line)
            self._make_room()
            if self._soon:
                return
            self._soon = True
        if not self._writers.send_soon(self):
            with self._lock:
                self._soon = False
            if self._trouble is None:
                self.send()

    def send(self) -> None:
        """Send what was said; what Redis does not take now waits."""
        self._send("")

    def close(self, ttl: int | None) -> None:
        """Send what is left: the run has ended. `ttl`: how long the log is kept (s; -1 = for ever); None = as it is."""
        if self._trouble is not None:  # Redis is away: nobody waits for it
            log.warning("job.log_lost", job_id=self._claim.job_id, lines=len(self._said), code=self._trouble.code)
        else:
            self._send("" if ttl is None else str(ttl))
        self._over = True

    def _send(self, ttl: str) -> None:
        with self._sending:
            with self._lock:
                self._soon = False
                lines, left_out = list(self._said), self._left_out
                self._said.clear()
                self._left_out = 0
            if self._over or not (lines or ttl):
                return
            if not self._call(lines, left_out, ttl):
                with self._lock:
                    self._said.extendleft(reversed(lines))
                    self._left_out += left_out
                    self._make_room()
                    self._soon = True
                self._writers.send_soon(self)

    def _call(self, lines: list[_Said], left_out: int, ttl: str) -> bool:
        """Run the script; False when Redis has not taken it."""
        claim, now = self._claim, monotonic()
        run = (claim.job_id, claim.execution_id, claim.origin, claim.fields.get(b"created_at", b""), attempt_of(claim))
        said = [
            part
            for line in lines
            for part in (int((now - line.at) * 1000), "-" if line.percent is None else line.percent, line.text)
        ]
        try:
            ours = self._writers.calls.call(
                scripts.LOG, *run, ttl, left_out, *said, worker_name=self._writers.worker_name
            )
        except RedisTrouble as trouble:
            if self._trouble is None:
                log.warning("job.log_waits", job_id=claim.job_id, code=trouble.code, sentence=trouble.trouble.sentence)
            self._trouble = trouble
            self._over = self._over or (trouble.refuses_this and trouble.code != "out_of_memory")
            return self._over
        self._trouble = None
        self._over = self._over or not ours
        return True

    def _make_room(self) -> None:
        """Leave out the oldest lines beyond what is kept of a job."""
        while len(self._said) > MOST_LINES:
            self._said.popleft()
            self._left_out += 1
