"""Geometry of a chart of named points: numbers in, positions out.

Horizontal positions are percentages of the chart's width, vertical ones CSS pixels, within the plot
of `pages.charts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pages.charts import (
    PLOT_BOTTOM,
    PLOT_LEFT,
    PLOT_TOP,
    PLOT_WIDTH,
    Tick,
    drawable,
    value_ticks,
)

LINE_HEIGHT = 15.0
_NEAR = 20.0  # per cent; names of points no further apart may cover each other
_MIDDLE = PLOT_LEFT + PLOT_WIDTH / 2


class Dot(NamedTuple):
    """One point, the interval of its height, and where its name is written."""

    series: int
    name: str
    x: float
    y: float
    top: float
    bottom: float
    is_left: bool
    name_y: float


class ScatterChart(NamedTuple):
    """The dots in order, and the corners of the line that joins some, in a plot 1000 wide."""

    dots: tuple[Dot, ...]
    front: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


class _Scale(NamedTuple):
    ticks: list[tuple[float, str]]

    def share(self, value: float) -> float:
        low, high = self.ticks[0][0], self.ticks[-1][0]
        return (value - low) / (high - low)


def scatter_chart(
    marks: Mapping[str, tuple[float, float, float, float]], front: Sequence[str]
) -> ScatterChart | None:
    """Place each (x, y, low, high), y between low and high, or return None where there is none.

    Raises ValueError for a number that has no place on an axis.
    """
    if not marks:
        return None
    if any(drawable(value) is None for mark in marks.values() for value in mark):
        raise ValueError(f"scatter: not all of {dict(marks)} are numbers that can be drawn")
    across = _Scale(
        value_ticks(min(m[0] for m in marks.values()), max(m[0] for m in marks.values()))
    )
    upward = _Scale(
        value_ticks(min(m[2] for m in marks.values()), max(m[3] for m in marks.values()))
    )
    dots: list[Dot] = []
    for number, (name, mark) in enumerate(marks.items()):
        x = round(PLOT_LEFT + PLOT_WIDTH * across.share(mark[0]), 3)
        y, bottom, top = (_down(upward.share(value)) for value in mark[1:])
        dots.append(Dot(number, name, x, y, top, bottom, x > _MIDDLE, _free(x, y, dots)))
    corners = sorted((mark[0], -mark[1]) for name, mark in marks.items() if name in front)
    return ScatterChart(
        tuple(dots),
        " ".join(f"{1000 * across.share(x):.2f},{_down(upward.share(-y))}" for x, y in corners),
        tuple(
            Tick(text, round(PLOT_LEFT + PLOT_WIDTH * across.share(value), 3))
            for value, text in across.ticks
        ),
        tuple(Tick(text, _down(upward.share(value))) for value, text in upward.ticks),
    )


def _down(share: float) -> float:
    return round(PLOT_BOTTOM - share * (PLOT_BOTTOM - PLOT_TOP), 2)


def _free(x: float, y: float, dots: Sequence[Dot]) -> float:
    """The height for a name: that of its dot, or the next below that no name near it takes."""
    taken = sorted(dot.name_y for dot in dots if abs(dot.x - x) < _NEAR)
    for other in taken:
        if abs(other - y) < LINE_HEIGHT:
            y = other + LINE_HEIGHT
    return y
