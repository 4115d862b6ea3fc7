"""What keeping jobs apart costs each of them, in µs: the parts around a no-op job in a consumer's main thread.

Each part is what `worker.consumer.runner` and `worker.consumer.aftermath` do for one job that changes nothing; the
sum is what an ordinary job pays for isolation. The best of many rounds counts, because everything else is the machine.

    python -m bench.isolation
"""

from __future__ import annotations

import gc
import timeit
from collections.abc import Callable
from contextvars import copy_context
from typing import Final

from worker import sentry
from worker.consumer.aftermath import Aftermath
from worker.consumer.loop import Consumer
from worker.process import forked
from worker.process.signals import Child

CALLS: Final = 2_000
ROUNDS: Final = 200


def parts() -> dict[str, Callable[[], object]]:
    """Return what is done for each job, by name."""
    child = Child(alone=True)
    aftermath = Aftermath(child, lambda: None, threads=1)
    base = copy_context()

    def nothing() -> None:
        pass

    def scope() -> None:
        with sentry.isolated(new_trace=True):
            pass

    def strayed() -> None:
        forked.end_if_strayed()
        forked.end_if_strayed()

    return {
        "an empty call, which is taken off each": nothing,
        "a context of its own": lambda: base.copy().run(nothing),
        "a Sentry scope, where there is no Sentry": scope,
        "a look whether this is a process that the job has forked, twice": strayed,
        "a look at what it has changed": aftermath.after_code,
    }


def measure(calls: int = CALLS, rounds: int = ROUNDS) -> dict[str, float]:
    """Return the microseconds of each part."""
    best = {
        # Collecting garbage stays on, because turning it off is a change.
        name: min(timeit.repeat(call, setup=gc.enable, number=calls, repeat=rounds)) / calls
        for name, call in parts().items()
    }
    empty, *_ = best.values()
    return {name: (seconds - (index > 0) * empty) * 1e6 for index, (name, seconds) in enumerate(best.items())}


def main() -> None:
    """Measure and print."""
    assert Consumer.__doc__  # all that a consumer has loaded is loaded
    found = measure()
    for name, micros in found.items():
        print(f"{micros:6.2f} µs  {name}")
    print(f"{sum([*found.values()][1:]):6.2f} µs  in all")


if __name__ == "__main__":
    main()
