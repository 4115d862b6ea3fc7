"""A diagnosis for people: coloured on a terminal, plain in a pipe."""

from __future__ import annotations

import sys
from typing import Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.diagnosis.report import NEEDS, Finding, Report, Status, StepReport

_MARKS: Final = {Status.OK: "✓", Status.WARNING: "!", Status.FAILED: "✗", Status.SKIPPED: "–"}
_STYLES: Final = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILED: "bold red", Status.SKIPPED: "dim"}
_TITLE_WIDTH: Final = 8
#: Where findings begin: under what their step says.
_INDENT: Final = " " * (_TITLE_WIDTH + 23)
#: Wide enough that nothing wraps when a program reads the output.
_PIPE_WIDTH: Final = 10_000


class Printer:
    """Prints steps as they are done, then the conclusion. `verbose` shows good findings, too."""

    def __init__(self, stream: TextIO | None = None, *, verbose: bool = False) -> None:
        stream = stream or sys.stdout
        self._console = Console(
            file=stream, width=None if stream.isatty() else _PIPE_WIDTH, markup=False, emoji=False, highlight=False
        )
        self._verbose = verbose
        self._skipped: list[StepReport] = []

    def step(self, step: StepReport) -> None:
        """Print one step and its findings; steps that need the same failed one share a line."""
        if step.status is Status.SKIPPED and step.says.startswith(NEEDS):
            self._skipped.append(step)
            return
        self._flush()
        head = Text(f"{_MARKS[step.status]} {step.title:<{_TITLE_WIDTH}} {step.status.value:<8}", _STYLES[step.status])
        head.append(f"{step.took():>10}  ", "dim")
        self._print(head, Text(step.says, "dim" if step.status is Status.SKIPPED else ""))
        fix_shown = ""
        for finding in step.findings:
            if self._verbose or finding.status is not Status.OK:
                self._finding(finding, with_fix=finding.fix != fix_shown)
                fix_shown = finding.fix

    def end(self, report: Report) -> None:
        """Print the notes, the conclusion and how long it took."""
        self._flush()
        for note in report.notes:
            self._print(Text("  "), Text(note, "dim"))
        self._console.print()
        self._print(Text("→ ", _STYLES[report.status]), Text(report.conclusion, "bold"))
        self._print(Text("  "), Text(f"{report.seconds:.2f} s, exit code {report.exit_code}", "dim"))

    def _flush(self) -> None:
        if self._skipped:
            titles = ", ".join(step.title for step in self._skipped)
            words = f"{titles}: {Status.SKIPPED}: {self._skipped[0].says}"
            self._print(Text(f"{_MARKS[Status.SKIPPED]} ", "dim"), Text(words, "dim"))
            self._skipped.clear()

    def _finding(self, finding: Finding, *, with_fix: bool) -> None:
        self._print(Text(_INDENT), Text(finding.says, _STYLES[finding.status]))
        if finding.fix and with_fix:
            self._print(Text(_INDENT), Text(f"Fix: {finding.fix}"))

    def _print(self, head: Text, body: Text) -> None:
        """Print a line; on a terminal what does not fit goes on under the body's beginning."""
        if not self._console.is_terminal:
            self._console.print(head + body)
            return
        grid = Table.grid()
        grid.add_column(width=len(head.plain), no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(head, body)
        self._console.print(grid)
