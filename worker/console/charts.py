"""Curves as SVG, made here: no script, no style, colours from the page's own. The table behind is the template's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

#: Points of a curve: what is more is thinned out, and the highest of what falls together is kept.
_POINTS: Final = 90
_WIDTH: Final = 240
_HEIGHT: Final = 40


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
