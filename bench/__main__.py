"""Measure every queue in one run and write the table, the picture and the samples.

    python -m bench                                            # all of it, about ten minutes
    python -m bench --only ours,dramatiq --measure throughput  # prints; writes only with --output
    python -m bench --quick                                    # ours and RQ, small: a smoke for CI

A full run writes bench/results/latest.json, .md and .svg. The exit code is 1 when anything failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import machine, measures
from bench.chart import svg
from bench.measures import FULL, ONE_BY_ONE, QUICK, Effort
from bench.peers import PEERS, Peer
from bench.report import markdown
from bench.results import Results
from bench.venvs import EnvironmentBuildError, python_of

LATEST = Path(__file__).parent / "results" / "latest"


def run(peers: Sequence[Peer], names: Sequence[str], effort: Effort) -> Results:
    """Take the named measures of all peers; what fails is noted and the rest goes on."""
    results = Results(machine.describe(), [peer.name for peer in peers])
    ready = [peer for peer in peers if _is_ready(peer, names, results)]
    for name in names:
        if name in ONE_BY_ONE:
            rounds = min(effort.rounds, ONE_BY_ONE[name].rounds)
            for turn in range(rounds):
                _round(name, _rotated(ready, turn, rounds), effort, results)
    if "idle" in names:
        _say("idle", "all peers at once")
        found = measures.idle(ready, effort, lambda peer, error: results.fail(peer.name, "idle", error))
        for peer, samples in found.items():
            results.add(peer, samples)
    return results


def _is_ready(peer: Peer, names: Sequence[str], results: Results) -> bool:
    try:
        python_of(peer)
    except (EnvironmentBuildError, OSError) as error:
        for name in names:
            results.fail(peer.name, name, error)
        return False
    return True


def _round(name: str, peers: Sequence[Peer], effort: Effort, results: Results) -> None:
    for peer in peers:
        try:
            samples = ONE_BY_ONE[name].take(peer, effort)
        except Exception as error:  # one peer's trouble is a line of the report, not the end of the run
            results.fail(peer.name, name, error)
            _say(name, f"{peer.name} failed: {error}")
            continue
        results.add(peer.name, samples)
        shown = ((key, sorted(values)[len(values) // 2]) for key, values in samples.items())
        _say(name, f"{peer.name}: " + ", ".join(f"{key} {value:.4g}" for key, value in shown))


def _rotated(peers: Sequence[Peer], turn: int, rounds: int) -> list[Peer]:
    """Begin each round elsewhere, so that what changes during a round does not always meet the same peer."""
    first = turn * len(peers) // rounds
    return [*peers[first:], *peers[:first]]


_started = time.monotonic()


def _say(name: str, words: str) -> None:
    print(f"{time.monotonic() - _started:6.1f} s  {name}: {words}", file=sys.stderr, flush=True)


def _names(text: str, known: Sequence[str]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := sorted(set(names) - set(known)):
        raise SystemExit(f"unknown: {', '.join(unknown)}; choose from {','.join(known)}")
    return names


def main() -> int:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="PEERS", help=f"some of {','.join(PEERS)}")
    parser.add_argument("--measure", metavar="NAMES", help=f"some of {','.join(measures.NAMES)}")
    parser.add_argument("--quick", action="store_true", help="small numbers, one round, ours and rq only")
    parser.add_argument("--output", metavar="STEM", type=Path, help="write STEM.json, STEM.md and STEM.svg")
    options = parser.parse_args()

    only = options.only or ("ours,rq" if options.quick else ",".join(PEERS))
    peers = [PEERS[name] for name in _names(only, list(PEERS))]
    names = _names(options.measure or ",".join(measures.NAMES), measures.NAMES)
    results = run(peers, names, QUICK if options.quick else FULL)

    is_full = not (options.quick or options.only or options.measure)
    if stem := options.output or (LATEST if is_full else None):
        stem.parent.mkdir(parents=True, exist_ok=True)
        results.write_json(stem.with_suffix(".json"))
        stem.with_suffix(".md").write_text(markdown(results))
        stem.with_suffix(".svg").write_text(svg(results))
    print(markdown(results))
    return 1 if results.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
