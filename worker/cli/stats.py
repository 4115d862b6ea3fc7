"""`python -m worker stats`: what each function has done in the last hours: runs, failures, times, waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import click
from rq.defaults import RQ_KEY_PREFIX

from worker.cli.common import RedisCommand, connect, settings_or_exit
from worker.cli.terminal import Column, date, print_table
from worker.dead_letters.filter import age
from worker.engine import past
from worker.engine.past import Past
from worker.keys import Keys
from worker.tallies import SHARES, Tally, quantile
from worker.text import counted, duration, json_text, one_line, took

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
#: Signs of one curve.
_MOST_SIGNS: Final = 36


@click.command(cls=RedisCommand)
@click.option("--function", default="", metavar="NAME", help="Of this function alone, piece by piece.")
@click.option("--since", default="1h", show_default=True, metavar="TIME", help="How far back: 30m, 8h, 3d at most.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every piece.")
def stats(function: str, since: str, as_json: bool) -> None:
    """Show what functions have done: runs, failures, dead letters, and how long runs took and had waited.

    Up to an hour is known minute by minute, what is older ten minutes at a time, for 72 hours. p95: 95 of 100 runs took
    no longer; it is read from histograms, and up to a quarter off.
    """
    redis = connect(settings_or_exit())
    try:
        seconds = age(since)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    found = past.read(redis, Keys(RQ_KEY_PREFIX), seconds, function)
    if as_json:
        click.echo(json_text(_document(found), indent=2, ensure_ascii=False))
        return
    reach = len(next(iter(found.functions.values()), ())) * found.period
    if not found.functions:
        click.echo(f"Nothing has run{f' of {one_line(function)}' if function else ''} since {date(found.begin)}.")
    elif function:
        _show_one(found, function)
    else:
        _show_all(found)
    if reach:
        piece = "a minute" if found.period == past.MINUTES[0] else "ten minutes"
        click.echo(f"\nSince {date(found.begin)} UTC ({duration(reach)}), {piece} a sign, the last not over yet.")
    for deploy in found.deploys:
        click.echo(f"Release {one_line(deploy.release)[:60]} came at {date(deploy.at)}.")


def spark(values: Sequence[float | None]) -> str:
    """Draw values as blocks, the highest of what falls together; a space where there is none."""
    if len(values) > _MOST_SIGNS:
        size = len(values) / _MOST_SIGNS
        groups = [values[round(at * size) : round((at + 1) * size)] for at in range(_MOST_SIGNS)]
        values = [max((value for value in group if value is not None), default=None) for group in groups]
    top = max((value for value in values if value is not None), default=0.0) or 1.0
    highest = len(_BLOCKS) - 1
    return "".join(" " if value is None else _BLOCKS[min(highest, int(len(_BLOCKS) * value / top))] for value in values)


def _show_all(found: Past) -> None:
    rows = []
    for name in past.by_volume(found):
        whole, pieces = found.whole(name), found.functions[name]
        runs = spark([None if one is None else float(one.processed) for one in pieces])
        rows.append([name, *_counts(whole), *_times(whole.run), *_times(whole.wait), runs])
    columns = [Column("FUNCTION", least=16, tail=True), *_columns("TOOK"), *_columns("WAITED")[3:]]
    print_table([*columns, "RUNS"], rows)


def _show_one(found: Past, function: str) -> None:
    pieces = found.functions[function]
    whole = found.whole(function)
    took_in = ", ".join(f"{name} {took(quantile(whole.run, share))}" for name, share in SHARES)
    waited = ", ".join(f"{name} {took(quantile(whole.wait, share))}" for name, share in SHARES)
    click.echo(
        f"{one_line(function)}: {counted(whole.processed, 'run')}, {whole.failed:,} failed, {whole.buried:,} buried"
    )
    curves: tuple[tuple[str, Callable[[Tally], float | None], str], ...] = (
        ("runs", lambda one: float(one.processed), ""),
        ("failed", lambda one: float(one.failed), ""),
        ("took p95", lambda one: quantile(one.run, 0.95), took_in),
        ("waited p95", lambda one: quantile(one.wait, 0.95), waited),
    )
    for title, value, words in curves:
        line = spark([None if one is None else value(one) for one in pieces])
        click.echo(f"{title:10}  {line}  {words}".rstrip())
    click.echo()
    rows = [
        [date(found.begin + at * found.period), *_counts(one), *_times(one.run), *_times(one.wait)]
        for at, one in enumerate(pieces)
        if one is not None
    ]
    print_table([Column("FROM (UTC)"), *_columns("TOOK"), *_columns("WAITED")[3:]], rows)


def _columns(what: str) -> list[Column]:
    extra = what == "WAITED"
    counts = [Column(name, right=True) for name in ("RUNS", "FAILED", "BURIED")]
    return [
        *counts,
        *(Column(f"{what if name == 'p50' else ''} {name}".strip(), right=True, extra=extra) for name, _ in SHARES),
    ]


def _counts(one: Tally) -> list[str]:
    return [f"{one.processed:,}", f"{one.failed:,}", f"{one.buried:,}"]


def _times(histogram: dict[int, int]) -> Iterable[str]:
    return [took(quantile(histogram, share)) for _, share in SHARES]


def _document(found: Past) -> dict[str, Any]:
    return {
        "since": found.begin,
        "period": found.period,
        "releases": [{"release": one.release, "at": one.at} for one in found.deploys],
        "functions": [
            {
                "function": name,
                **_numbers(found.whole(name)),
                "pieces": [
                    {"at": found.begin + at * found.period, **_numbers(one)}
                    for at, one in enumerate(found.functions[name])
                    if one is not None
                ],
            }
            for name in past.by_volume(found)
        ],
    }


def _numbers(one: Tally) -> dict[str, Any]:
    """Return what JSON shows of a tally; times in seconds."""
    return {
        "processed": one.processed,
        "failed": one.failed,
        "buried": one.buried,
        "run": {name: quantile(one.run, share) for name, share in SHARES},
        "wait": {name: quantile(one.wait, share) for name, share in SHARES},
    }
