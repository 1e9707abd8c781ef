"""Geometry of values over time: numbers in, positions out.

Horizontal positions are percentages of the chart's width, or thousandths of the plot's; vertical
ones CSS pixels, within the plot of `pages.charts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from pages.blocks import Moment, Trend
from pages.charts import (
    MARKED_POINTS,
    PLOT_BOTTOM,
    PLOT_LEFT,
    PLOT_TOP,
    PLOT_WIDTH,
    Tick,
    drawable,
    value_ticks,
)
from pages.text import shown, written_moment

_HOUR, _DAY = 3600, 86_400
_STEPS = (
    *(hours * _HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * _DAY for days in (1, 2, 5, 10, 30, 90, 365)),
)
_MOST_TICKS = 7


class Dot(NamedTuple):
    """A moment: its place in per cent and pixels, where its interval ends if it stands alone, and
    what it says."""

    x: float
    y: float
    top: float
    bottom: float
    text: str
    is_marked: bool


class Run(NamedTuple):
    """A series between two gaps: `path` joins its values, `band` goes round its intervals."""

    series: int
    path: str
    band: str


class Limit(NamedTuple):
    """A line across; `text` is its value."""

    name: str
    text: str
    y: float


class TrendChart(NamedTuple):
    """Series in order, each with the dots that are shown of it."""

    runs: tuple[Run, ...]
    dots: tuple[tuple[Dot, ...], ...]
    limits: tuple[Limit, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


class _Scales(NamedTuple):
    start: float
    end: float
    bottom: float
    top: float

    def across(self, at: float) -> float:
        return (at - self.start) / (self.end - self.start)

    def percent(self, at: float) -> float:
        return round(PLOT_LEFT + PLOT_WIDTH * self.across(at), 3)

    def down(self, value: float) -> float:
        share = (value - self.bottom) / (self.top - self.bottom)
        return round(PLOT_BOTTOM - share * (PLOT_BOTTOM - PLOT_TOP), 2)

    def corner(self, at: float, value: float) -> str:
        return f"{round(1000 * self.across(at), 2)},{self.down(value)}"


def trend_chart(trend: Trend) -> TrendChart | None:
    """Place the moments between start and end, or return None when none has a value that can be
    drawn. Raises ValueError for a trend that ends before it starts."""
    if not trend.start < trend.end:
        raise ValueError(f"trend: it ends at {trend.end}, and starts at {trend.start}")
    series = [
        [_drawn(one) for one in moments if trend.start <= one.at <= trend.end]
        for moments in trend.series.values()
    ]
    limits = {name: drawable(value) for name, value in trend.limits.items()}
    values = [
        value
        for moments in series
        for one in moments
        for value in (one.value, one.low, one.high)
        if value is not None
    ]
    if not values:
        return None
    values += [value for value in limits.values() if value is not None]
    values += [0.0] if trend.is_from_zero else []
    y_ticks = value_ticks(min(values), max(values))
    scales = _Scales(trend.start, trend.end, y_ticks[0][0], y_ticks[-1][0])
    return TrendChart(
        tuple(run for number, one in enumerate(series) for run in _runs(scales, number, one)),
        tuple(tuple(_dots(scales, one)) for one in series),
        tuple(
            Limit(name, shown(value), scales.down(value))
            for name, value in limits.items()
            if value is not None
        ),
        tuple(Tick(text, scales.percent(at)) for at, text in time_ticks(trend.start, trend.end)),
        tuple(Tick(text, scales.down(value)) for value, text in y_ticks),
    )


def _drawn(moment: Moment) -> Moment:
    """What has no place on an axis is missing; an interval has two ends or none."""
    value, low, high = (drawable(number) for number in (moment.value, moment.low, moment.high))
    if value is None or low is None or high is None:
        low = high = None
    return moment._replace(value=value, low=low, high=high)


def _runs(scales: _Scales, number: int, moments: Sequence[Moment]) -> list[Run]:
    runs = []
    for is_there, run in groupby(moments, key=lambda one: one.value is not None):
        if not is_there:
            continue
        some = list(run)
        path = " ".join(scales.corner(one.at, one.value or 0.0) for one in some)
        ends = [(one.at, one.low, one.high) for one in some if one.low is not None]
        upper = [scales.corner(at, high or 0.0) for at, _, high in ends]
        lower = [scales.corner(at, low or 0.0) for at, low, _ in reversed(ends)]
        runs.append(Run(number, path, " ".join([*upper, *lower])))
    return runs


def _dots(scales: _Scales, moments: Sequence[Moment]) -> list[Dot]:
    """All of a short series; of a long one those that are marked or stand between two gaps."""
    dots = []
    missing = [True, *(one.value is None for one in moments), True]
    for place, one in enumerate(moments, start=1):
        is_alone = missing[place - 1] and missing[place + 1]
        is_shown = one.is_marked or is_alone or len(moments) <= MARKED_POINTS
        if one.value is None or not is_shown:
            continue
        low = one.value if one.low is None else one.low
        high = one.value if one.high is None else one.high
        interval = f" ({shown(low)} to {shown(high)})" if low < high else ""
        text = f"{written_moment(one.at)}: {shown(one.value)}{interval}"
        # Elsewhere the band shows it.
        ends = (high, low) if is_alone else (one.value, one.value)
        y, top, bottom = (scales.down(value) for value in (one.value, *ends))
        dots.append(Dot(scales.percent(one.at), y, top, bottom, text, one.is_marked))
    return dots


def time_ticks(start: float, end: float) -> list[tuple[float, str]]:
    """Round times in UTC, about seven at most, written out: days by date, others by the hour."""
    step = next((one for one in _STEPS if (end - start) / one <= _MOST_TICKS), _STEPS[-1])
    first = -int(-start // step)
    places = range(first, int(end // step) + 1)
    return [(float(place * step), _tick(place * step)) for place in places]


def _tick(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.day} {moment:%b}" if at % _DAY == 0 else f"{moment:%H:%M}"
