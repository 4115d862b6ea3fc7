"""A diagnosis for people: coloured on a terminal, plain in a pipe."""

from __future__ import annotations

import sys
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from worker.diagnosis.report import SENSELESS, Finding, Report, Status, StepReport

_MARKS: Final = {Status.OK: "✓", Status.WARNING: "!", Status.FAILED: "✗", Status.SKIPPED: "–"}
_STYLES: Final = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILED: "bold red", Status.SKIPPED: "dim"}
_TITLE_WIDTH: Final = 8
#: Where findings begin: under what their step says.
_INDENT: Final = " " * (_TITLE_WIDTH + 23)
#: Wide enough that nothing wraps when a program reads the output.
_PIPE_WIDTH: Final = 10_000


class Printer:
    """Prints steps as they are done, then the last word. `verbose` shows good findings, too."""

    def __init__(self, stream: TextIO | None = None, *, verbose: bool = False) -> None:
        stream = stream or sys.stdout
        self._console = Console(
            file=stream, width=None if stream.isatty() else _PIPE_WIDTH, markup=False, emoji=False, highlight=False
        )
        self._verbose = verbose

        self._skipped: list[StepReport] = []

    def step(self, step: StepReport) -> None:
        """Print one step and what is to be said about it; those that make no sense come on one line."""
        if step.status is Status.SKIPPED and step.says.startswith(SENSELESS):
            self._skipped.append(step)
            return
        self._flush()
        style = _STYLES[step.status]
        line = Text()
        line.append(f"{_MARKS[step.status]} {step.title:<{_TITLE_WIDTH}} {step.status.value:<8}", style)
        line.append(f"{_seconds(step):>10}  ", "dim")
        line.append(step.says, "dim" if step.status is Status.SKIPPED else "")
        self._print(line)
        told = ""
        for finding in step.findings:
            if self._verbose or finding.status is not Status.OK:
                self._finding(finding, with_fix=finding.fix != told)
                told = finding.fix

    def end(self, report: Report) -> None:
        """Print the notes, the conclusion and how long it took."""
        self._flush()
        for note in report.notes:
            self._print(Text(f"  {note}", "dim"))
        self._print(Text())
        line = Text("→ ", _STYLES[report.status])
        line.append(report.conclusion, "bold")
        self._print(line)
        self._print(Text(f"  {report.seconds:.2f} s, exit code {report.exit_code}", "dim"))

    def _flush(self) -> None:
        if self._skipped:
            titles = ", ".join(step.title for step in self._skipped)
            self._print(Text(f"{_MARKS[Status.SKIPPED]} {titles}: {self._skipped[0].says}", "dim"))
            self._skipped.clear()

    def _finding(self, finding: Finding, *, with_fix: bool) -> None:
        self._print(Text(f"{_INDENT}{finding.says}", _STYLES[finding.status]))
        if finding.fix and with_fix:
            self._print(Text(f"{_INDENT}Fix: {finding.fix}"))

    def _print(self, text: Text) -> None:
        # Hanging indents: what wraps on a terminal stays in its column.
        plain = text.plain
        indent = len(plain) - len(plain.lstrip(" "))
        self._console.print(text, soft_wrap=not self._console.is_terminal or indent == 0)


def _seconds(step: StepReport) -> str:
    if step.status is Status.SKIPPED:
        return ""
    return f"{step.seconds * 1000:.0f} ms" if step.seconds < 1 else f"{step.seconds:.1f} s"
