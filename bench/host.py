"""Run inside a peer's own environment: start its workers, or produce its jobs.

python -m bench.host PEER work [SLOTS]
python -m bench.host PEER load BODY ARGUMENT COUNT      # as fast as it can
python -m bench.host PEER trickle COUNT SECONDS GAP     # one `stamp` at a time, GAP ± 50 % seconds apart
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType

from bench.records import Records

#: Seconds within which an idle worker must have run a single job.
PATIENCE = 20.0


def work(peer: ModuleType, slots: int | None = None) -> None:
    """Become the worker; of several commands, become the last and be the parent of the others."""
    *others, last = peer.commands(slots)
    for start in others:
        subprocess.Popen(start.argv, env={**os.environ, **start.environ})
    os.execve(last.argv[0], last.argv, {**os.environ, **last.environ})


def load(peer: ModuleType, body: str, argument: int, count: int) -> None:
    """Enqueue `count` equal jobs."""
    peer.enqueue(body, [argument] * count)


def trickle(peer: ModuleType, count: int, seconds: float, gap: float) -> None:
    """Enqueue at most `count` jobs in at most `seconds`, each after the one before has run."""
    records = Records(Path(os.environ["BENCH_RECORDS"]))
    deadline = time.monotonic() + seconds
    for _ in range(count):
        if time.monotonic() > deadline:
            return
        time.sleep(gap * random.uniform(0.5, 1.5))
        done = records.count()
        peer.enqueue("stamp", [time.monotonic_ns()])
        _wait_for_more_than(done, records)


def _wait_for_more_than(done: int, records: Records) -> None:
    deadline = time.monotonic() + PATIENCE
    while records.count() <= done:
        if time.monotonic() > deadline:
            raise SystemExit(f"a job was not run within {PATIENCE:g} s")
        time.sleep(0.0005)


def main() -> None:
    """Do what the command line says."""
    name, action, *rest = sys.argv[1:]
    peer = import_module(f"bench.peers.{name}")
    match action, rest:
        case "work", []:
            work(peer)
        case "work", [slots]:
            work(peer, int(slots))
        case "load", [body, argument, count]:
            load(peer, body, int(argument), int(count))
        case "trickle", [count, seconds, gap]:
            trickle(peer, int(count), float(seconds), float(gap))
        case _:
            raise SystemExit(f"cannot do {sys.argv[1:]}\n{__doc__}")


if __name__ == "__main__":
    main()
