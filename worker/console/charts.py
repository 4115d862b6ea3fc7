"""Curves as SVG, made here: no script, no style, colours from the page's own. The table behind is the template's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from markupsafe import Markup

from worker.text import took

#: Points of a curve: what is more is thinned out, and the highest of what falls together is kept.
_POINTS: Final = 90
_WIDTH: Final = 240
_HEIGHT: Final = 40
#: The size of a chart with a scale.
_WIDE: Final = 720
_TALL: Final = 200


def spark(values: Sequence[float | None], title: str, kind: str = "") -> Markup:
    """Draw a curve of values at equal distances; None is a gap. `title` is what it shows, in words."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return Markup('<svg class="spark" viewBox="0 0 {} {}" aria-hidden="true"></svg>').format(_WIDTH, _HEIGHT)
    points = _thinned(values)
    top = max(1e-9, *known)
    step = _WIDTH / max(len(points) - 1, 1)
    line, area, open_at = [], [], None
    for index, value in enumerate(points):
        if value is None:
            if open_at is not None:
                area.append(f"V{_HEIGHT}H{open_at:.1f}Z")
                open_at = None
            continue
        x, y = index * step, _HEIGHT - 3 - (_HEIGHT - 6) * value / top
        line.append(f"{'M' if open_at is None else 'L'}{x:.1f} {y:.1f}")
        area.append(f"M{x:.1f} {_HEIGHT}V{y:.1f}" if open_at is None else f"L{x:.1f} {y:.1f}")
        if open_at is None:
            open_at = x
    if open_at is not None:
        area.append(f"V{_HEIGHT}H{open_at:.1f}Z")
    return Markup(
        '<svg class="spark {}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<title>{}</title><path class="area" d="{}"/><path class="line" d="{}"/></svg>'
    ).format(kind, _WIDTH, _HEIGHT, title, title, "".join(area), "".join(line))


def curves(chart: Any, marks: Sequence[tuple[float, str, float]]) -> Markup:
    """Draw the curves of a chart (`pages.functions.Chart`) with a scale; times on a logarithmic one.

    `marks`: (place from 0 to 1, name, moment) of what came in between, a release. The last piece, which is not over, is
    dashed.
    """
    known = [value for curve in chart.curves for value in curve.values if value is not None]
    known += [value for value in (chart.now.values if chart.now is not None else ()) if value is not None]
    if not known:
        return Markup()
    scale = _times(known) if chart.seconds else _counts(known)
    parts = [
        Markup('<line class="grid" x1="0" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text x="0" y="{:.1f}">{}</text>').format(
            _WIDE, scale.y(value), scale.y(value), scale.y(value) - 4, words
        )
        for value, words in scale.grid
    ]
    for place, name, _ in marks:
        parts.append(
            Markup(
                '<g class="mark"><line x1="{0:.1f}" x2="{0:.1f}" y1="0" y2="{1}"/>'
                '<text x="{2:.1f}" y="12">{3}</text></g>'
            ).format(_WIDE * place, _TALL, min(_WIDE * place + 4, _WIDE - 90), name)
        )
    for number, curve in enumerate(chart.curves):
        step = _WIDE / max(1, len(curve.values) - 1)
        points = [None if value is None else (at * step, scale.y(value)) for at, value in enumerate(curve.values)]
        for kind, some in (("", points[:-1]), (" open", points[-2:])):
            parts.append(Markup('<path class="line c{}{}" d="{}"/>').format(number, kind, _path(some)))
        alone = [
            point
            for before, point, after in zip([None, *points], points, [*points[1:], None], strict=False)
            if point is not None and before is None and after is None
        ]
        parts += [
            Markup('<circle class="c{}" cx="{:.1f}" cy="{:.1f}" r="2"/>').format(number, *point) for point in alone
        ]
    if chart.now is not None and chart.now.values[0] is not None:
        y = scale.y(chart.now.values[0])
        parts.append(Markup('<line class="now" x1="0" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(_WIDE, y, y))
    names = [(f"c{number}", curve.name) for number, curve in enumerate(chart.curves)]
    if chart.now is not None:
        names.append(("now", f"{chart.now.name}: {took(chart.now.values[0])}"))
    legend = Markup("").join(Markup('<li class="{}">{}</li>').format(kind, name) for kind, name in names)
    return Markup(
        '<svg class="curves" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>'
        '<ul class="legend">{}</ul>'
    ).format(_WIDE, _TALL, chart.title, chart.title, Markup("").join(parts), legend)


class _Scale:
    """Where values stand; `grid` are some of them, in words."""

    def __init__(self, low: float, high: float, grid: list[tuple[float, str]], *, by_log: bool) -> None:
        self.grid = grid
        self._by_log = by_log
        self._low, self._high = self._at(low), self._at(high)

    def y(self, value: float) -> float:
        share = (self._at(value) - self._low) / max(1e-9, self._high - self._low)
        return _TALL - 4 - (_TALL - 24) * min(1.0, max(0.0, share))

    def _at(self, value: float) -> float:
        return math.log10(max(value, 1e-4)) if self._by_log else value


def _times(values: Sequence[float]) -> _Scale:
    least, most = max(1e-4, min(values)), max(1e-3, *values)
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    decades = [10.0**power for power in range(first, max(last, first + 1) + 1)]
    return _Scale(decades[0], decades[-1], [(value, took(value)) for value in decades], by_log=True)


def _counts(values: Sequence[float]) -> _Scale:
    most = max(1.0, *values)
    return _Scale(0.0, most, [(0.0, "0"), (most / 2, f"{most / 2:,.0f}"), (most, f"{most:,.0f}")], by_log=False)


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """Return the lines between points that stand side by side."""
    parts = []
    joined = False
    for one, other in pairwise(points):
        if one is None or other is None:
            joined = False
            continue
        if not joined:
            parts.append(f"M{one[0]:.1f} {one[1]:.1f}")
        parts.append(f"L{other[0]:.1f} {other[1]:.1f}")
        joined = True
    return "".join(parts)


def bar(part: float, whole: float, title: str, kind: str = "") -> Markup:
    """Draw a share of a whole."""
    share = min(max(part / whole, 0.0), 1.0) if whole else 0.0
    return Markup(
        '<svg class="bar {}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="{}"><title>{}'
        '</title><rect class="rail" width="100" height="6"/><rect class="fill" width="{}" height="6"/></svg>'
    ).format(kind, title, title, f"{100 * share:.1f}")


def _thinned(values: Sequence[float | None]) -> list[float | None]:
    if len(values) <= _POINTS:
        return list(values)
    size = len(values) / _POINTS
    groups = (values[round(index * size) : round((index + 1) * size)] for index in range(_POINTS))
    return [max((value for value in group if value is not None), default=None) for group in groups]
