"""The results as an SVG picture: horizontal bars, no script.

It brings its own background in both colour schemes: a page can be dark where the viewer's system is light.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.columns import COLUMNS, Column
from bench.peers import PEERS
from bench.report import number
from bench.results import Results

WIDTH = 860
LABEL_WIDTH = 250
BAR_WIDTH = 500
ROW = 20
TITLE = 40
MARGIN = 16

#: Samples to draw, the panel's title and whether more is better.
PANELS = (
    ("throughput", "no-op jobs per second, two processes – longer is better"),
    ("distance", "jobs per second, Redis 20 ms away – longer is better"),
    ("latency", "ms from enqueue to start on an idle worker, median – shorter is better"),
    ("io_pss", "MB of memory for 32 I/O jobs at once – shorter is better"),
)

STYLE = """\
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.page { fill: #ffffff }
.title { font-weight: 600 }
.facts, .failed { fill: #656d76; font-size: 12px }
.bar { fill: #8c959f }
.ours { fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117 }
  text { fill: #e6edf3 }
  .facts, .failed { fill: #9198a1 }
  .bar { fill: #656c76 }
  .ours { fill: #3fb950 }
}"""


def svg(results: Results) -> str:
    """Return the picture with one panel for each of `PANELS` that was measured."""
    body: list[str] = []
    y = 0
    for samples, title in PANELS:
        column = next(column for column in COLUMNS if column.samples == samples)
        if column in results.columns():
            body.append(_text(0, y + 26, title, "title"))
            y += TITLE
            body += _bars(results, column, y)
            y += ROW * len(results.peers)
    facts = results.machine
    machine = f"{facts['date']}, {facts['cores']} cores of {facts['processor']}"
    caption = f"{machine}, Python {facts['python']}, {facts['server']}"
    body.append(_text(0, y + 26, caption, "facts"))
    width, height = WIDTH + 2 * MARGIN, y + 26 + 2 * MARGIN
    box = f'viewBox="{-MARGIN} {-MARGIN} {width} {height}"'
    size = f'width="{width}" height="{height}"'
    page = f'<rect class="page" x="{-MARGIN}" y="{-MARGIN}" {size} rx="6"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} {size} role="img" aria-label="Benchmark results">'
    return "\n".join([head, f"<style>\n{STYLE}\n</style>", page, *body, "</svg>", ""])


def _bars(results: Results, column: Column, top: int) -> Sequence[str]:
    figures = {peer: results.figure(peer, column) for peer in results.peers}
    longest = _scale([figure for figure in figures.values() if figure])
    shapes = []
    for row, (peer, figure) in enumerate(figures.items()):
        baseline = top + row * ROW + 14
        shapes.append(_text(LABEL_WIDTH - 8, baseline, PEERS[peer].label, anchor="end"))
        if figure is None:
            shapes.append(_text(LABEL_WIDTH, baseline, "failed" if results.failed(peer, column) else "–", "failed"))
            continue
        length = min(BAR_WIDTH, max(1.0, BAR_WIDTH * figure / longest))
        kind = "bar ours" if peer.startswith("ours") else "bar"
        shapes.append(
            f'<rect class="{kind}" x="{LABEL_WIDTH}" y="{top + row * ROW + 3}" '
            f'width="{length:.1f}" height="{ROW - 6}" rx="2"/>'
        )
        words = number(figure) if figure <= longest else f"→ {number(figure)}"
        shapes.append(_text(LABEL_WIDTH + length + 6, baseline, words))
    return shapes


def _scale(figures: Sequence[float]) -> float:
    """Return what the full width stands for: the greatest figure, unless it dwarfs the next one ten times.

    Such an outlier is cut, marked with an arrow, so that the others can still be told apart.
    """
    *others, greatest = sorted(figures) or [1.0]
    return max(others) if others and greatest > 10 * max(others) else greatest


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text{css} x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'
