"""How long claimed neighbours of a job that turns out long have to wait: `python -m bench.neighbours`.

Two consumers, one queue. Short jobs (an append, about 0.1 ms) earn a batch, then one job of 2 s comes in the middle of
more short ones. What was claimed with it goes back to the queue, where the other consumer takes it. Measured: from the
begin of the long job to the begin of the last short one. Goal: at most 50 ms.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from rq import Queue

from tests.support import tasks
from tests.support.server import RedisServer
from tests.support.service import Service, until

ROUNDS = 10
BEFORE, BEHIND = 400, 15


def main() -> None:
    """Measure and print."""
    waits = []
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisServer() as server,
        Service(server.url, LOG_LEVEL="WARNING") as service,
        server.client() as redis,
    ):
        queue = Queue("default", connection=redis)
        for number in range(ROUNDS):
            path = str(Path(folder) / str(number))
            short = Queue.prepare_data(tasks.journal, (path, "short"))
            long = Queue.prepare_data(tasks.journal_and_sleep, (path, 2))
            queue.enqueue_many([*[short] * BEFORE, long, *[short] * BEHIND])
            until(lambda path=path: Path(path).exists() and Path(path).read_text().count(" end ") == 1, service=service)
            lines = [line.split() for line in Path(path).read_text().splitlines()]
            began = next(float(moment) for _, word, _, moment in lines if word == "begin")
            last = max(float(moment) for _, word, _, moment in lines if word == "short")
            waits.append(max(0.0, last - began) * 1000)
    print(
        f"{ROUNDS} rounds of {BEFORE} short, one of 2 s, {BEHIND} short: the last short one began "
        f"{statistics.median(waits):.0f} ms after the long one (median), {max(waits):.0f} ms at worst"
    )


if __name__ == "__main__":
    main()
