"""The results as Markdown tables: a row per peer, the chief figures also as multiples of RQ's own."""

from __future__ import annotations

import textwrap

from bench.columns import COST, SPEED, Column
from bench.peers import PEERS
from bench.results import Results

#: Whose figures are 1 ×.
BASELINE = "rq"

EXPLANATION = """\
Every queue ran in an environment of its own with pinned versions (`bench/peers/*.txt`): two worker
processes, results kept, no log line per job unless said, a fresh server without persistence that shares the
machine with workers and meter. The job is one 16-byte append to a file. Rounds rotate through the queues,
so that drift hits all alike; figures are medians, latencies are percentiles over all rounds. Concurrency
inside a process is each library's default unless slots are given (dramatiq 8 threads, taskiq 100
coroutines, saq and arq 10, all others 1). × compares with RQ's worker-pool in the same run: compare those,
absolute figures drift with the machine. Start is measured from before the enqueuing to the first line of
the job. Memory is PSS in MB (10⁶ bytes) of all processes. Round trips and sent commands are the workers'
own, counted in a proxy; executed commands include those inside scripts."""


def markdown(results: Results) -> str:
    """Return the whole report."""
    facts = results.machine
    heading = (
        f"Measured {facts['date']} with `python -m bench` on {facts['cores']} cores of {facts['processor']}, "
        f"{facts['memory']}, {facts['system']}, Python {facts['python']}, {facts['server']}; "
        f"load of the machine before: {facts['load']}."
    )
    parts = [heading, _table(results, SPEED), _table(results, COST), _failures(results), EXPLANATION]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(results: Results, name: str) -> str:
    columns = [column for column in results.columns() if column.table == name]
    if not columns:
        return ""
    lines = [
        f"| {name} | " + " | ".join(column.heading for column in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for peer in results.peers:
        cells = [PEERS[peer].label, *(_cell(results, peer, column) for column in columns)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(results: Results, peer: str, column: Column) -> str:
    figure, failures = results.figure(peer, column), results.failed(peer, column)
    if figure is None:
        return f"failed: {_brief(failures[0])}" if failures else "–"
    text = number(figure)
    baseline = results.figure(BASELINE, column)
    if column.ratio and baseline:
        text += f" ({number(figure / baseline)} ×)"
    return f"{text}, {len(failures)} failed" if failures else text


def _brief(reason: str) -> str:
    """Return the beginning of `reason`, fit for a cell; the list below the tables has all of it."""
    return textwrap.shorten(reason.replace("|", "/"), 60, placeholder=" …")


def _failures(results: Results) -> str:
    lines = [
        f"- {PEERS[peer].label}, {measure}: {reason}"
        for peer, by_measure in results.failures.items()
        for measure, reasons in by_measure.items()
        for reason in reasons
    ]
    return "\n".join(["Failures:", "", *lines]) if lines else ""


def number(value: float) -> str:
    """Write `value` with about three significant digits; a count stays whole."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.095 else f"{value:.3f}"
