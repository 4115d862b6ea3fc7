"""`make storm ARGS="--seconds 600"` runs a storm as long as asked and prints its seed.

The same seed gives the same blows and the same jobs; what a blow hits depends on the moment.
"""

from __future__ import annotations

import argparse
import random
import sys

from tests.faults.storm.run import storm


def main() -> int:
    """Run one storm from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--queues", type=int, default=2, choices=(1, 2))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the services; repeatable")
    arguments = parser.parse_args()
    environ = dict(variable.split("=", 1) for variable in arguments.env)
    print(f"A storm of {arguments.seconds:g} s with seed {arguments.seed} …", flush=True)
    report = storm(
        arguments.seconds, arguments.seed, queues=arguments.queues, threads=arguments.threads, environ=environ
    )
    print(report)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
