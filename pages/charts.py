"""Geometry of the charts: numbers in, positions out. The template draws them as SVG.

Horizontal positions are percentages of the chart's width, so that text keeps its size on a narrow
screen; all other lengths are CSS pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pages.text import shown

BAR_HEIGHT = 14
BAR_SPAN = 82.0  # per cent; the rest is room for the value at the bar's end
GROUP_LABEL_HEIGHT = 20
GROUP_GAP = 12

PLOT_LEFT = 13.0  # per cent; room for the tick labels
PLOT_WIDTH = 85.0  # per cent
PLOT_TOP = 12.0
PLOT_BOTTOM = 226.0
MARKED_POINTS = 40

# Beyond this a difference of two values may overflow; such a value is no point of a chart.
LARGEST_DRAWN = 1e100


class Bar(NamedTuple):
    """One bar: `x` and `width` in per cent, `end` where its value is written."""

    series: int
    name: str
    value: Any
    x: float
    width: float
    end: float
    y: float


class BarGroup(NamedTuple):
    """The bars of one category, its label above them."""

    label: str
    y: float
    bars: tuple[Bar, ...]


class BarChart(NamedTuple):
    """Grouped horizontal bars; `zero` is the base line's position in per cent."""

    names: tuple[str, ...]
    groups: tuple[BarGroup, ...]
    zero: float
    height: float


class Tick(NamedTuple):
    """A labelled position on an axis."""

    text: str
    at: float


class Point(NamedTuple):
    """A value that is marked by a dot."""

    x: float
    y: float


class Line(NamedTuple):
    """One series: polylines between gaps, in a plot 1000 wide, and dots in per cent."""

    series: int
    name: str
    paths: tuple[str, ...]
    points: tuple[Point, ...]


class LineChart(NamedTuple):
    """Lines over x = 1..n with both axes' ticks."""

    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def drawable(value: Any) -> float | None:
    """Return the value as a float, or None where it is missing or has no place on an axis."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= LARGEST_DRAWN else None


def bar_chart(series: Mapping[str, Mapping[str, Any]]) -> BarChart | None:
    """Place grouped bars, or return None when there is no category."""
    categories = list(dict.fromkeys(key for values in series.values() for key in values))
    if not categories:
        return None
    drawn = [drawable(value) for values in series.values() for value in values.values()]
    finite = [value for value in drawn if value is not None]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    span = (high - low) or 1.0
    zero = -low / span * BAR_SPAN
    height = GROUP_LABEL_HEIGHT + BAR_HEIGHT * len(series) + GROUP_GAP
    groups = []
    for row, category in enumerate(categories):
        bars = []
        for index, (name, values) in enumerate(series.items()):
            value = values.get(category)
            at = ((drawable(value) or 0.0) - low) / span * BAR_SPAN
            y = row * height + GROUP_LABEL_HEIGHT + index * BAR_HEIGHT
            x, end = min(zero, at), max(zero, at)
            bars.append(Bar(index, name, value, round(x, 3), round(end - x, 3), round(end, 3), y))
        groups.append(BarGroup(category, row * height, tuple(bars)))
    return BarChart(tuple(series), tuple(groups), round(zero, 3), len(categories) * height)


def nice_step(raw: float, multiples: Sequence[float]) -> float:
    """Return the least of the multiples times a power of ten that is not below `raw`."""
    magnitude = 10.0 ** math.floor(math.log10(raw))
    return next(m * magnitude for m in (*multiples, 10.0) if m == 10.0 or m * magnitude >= raw)


def value_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return evenly spaced round values, about five, that enclose [low, high], each written out."""
    size = max(abs(low), abs(high))
    if high - low <= size * 1e-9 or size < 1 / LARGEST_DRAWN:
        pad = size * 0.1 if size >= 1 / LARGEST_DRAWN else 1.0
        low, high = low - pad, high + pad
    step = nice_step((high - low) / 4, (1.0, 2.0, 2.5, 5.0))
    values = [k * step for k in range(math.floor(low / step), math.ceil(high / step) + 1)]
    texts = [shown(value) for value in values]
    if len(set(texts)) < len(texts):
        decimals = max(0, 1 - math.floor(math.log10(step)))
        texts = [f"{value:,.{decimals}f}".replace("-", "−") for value in values]
    return list(zip(values, texts, strict=True))


def position_ticks(length: int) -> list[int]:
    """Return 1 and the multiples of a round step up to `length`."""
    if length < 6:
        return list(range(1, length + 1))
    step = int(nice_step(max(1.0, (length - 1) / 5), (1.0, 2.0, 5.0)))
    return sorted({1, *range(step, length + 1, step)})


class Axes(NamedTuple):
    """The scales of a line chart: positions 1..length across, bottom to top upwards."""

    length: int
    bottom: float
    top: float

    def across(self, x: int) -> float:
        """Return the share of the plot's width at which position `x` lies."""
        return (x - 1) / (self.length - 1) if self.length > 1 else 0.5

    def percent(self, x: int) -> float:
        """Return the place of position `x` in per cent of the chart's width."""
        return round(PLOT_LEFT + PLOT_WIDTH * self.across(x), 3)

    def down(self, value: float) -> float:
        """Return the pixel row of a value."""
        share = (value - self.bottom) / (self.top - self.bottom)
        return round(PLOT_BOTTOM - share * (PLOT_BOTTOM - PLOT_TOP), 2)


def line_chart(series: Mapping[str, Sequence[Any]]) -> LineChart | None:
    """Place the lines, or return None when no series has a value that can be drawn."""
    drawn = {name: [drawable(value) for value in values] for name, values in series.items()}
    finite = [value for values in drawn.values() for value in values if value is not None]
    if not finite:
        return None
    ticks = value_ticks(min(finite), max(finite))
    axes = Axes(max(len(values) for values in drawn.values()), ticks[0][0], ticks[-1][0])
    return LineChart(
        tuple(_line(axes, i, name, values) for i, (name, values) in enumerate(drawn.items())),
        tuple(Tick(shown(x), axes.percent(x)) for x in position_ticks(axes.length)),
        tuple(Tick(text, axes.down(value)) for value, text in ticks),
    )


def _line(axes: Axes, index: int, name: str, values: Sequence[float | None]) -> Line:
    """Place one series; a value between two gaps is a dot, however long the series."""
    runs = _unbroken(values)
    paths = (
        " ".join(f"{round(1000 * axes.across(x), 2)},{axes.down(value)}" for x, value in run)
        for run in runs
        if len(run) > 1
    )
    points = (
        Point(axes.percent(x), axes.down(value))
        for run in runs
        for x, value in run
        if len(run) == 1 or axes.length <= MARKED_POINTS
    )
    return Line(index, name, tuple(paths), tuple(points))


def _unbroken(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Split a series at its gaps into runs of (position from 1, value)."""
    runs: list[list[tuple[int, float]]] = [[]]
    for x, value in enumerate(values, start=1):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x, value))
    return [run for run in runs if run]
