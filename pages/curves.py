"""Geometry of curves through points: numbers in, positions out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pages.charts import (
    MARKED_POINTS,
    PLOT_BOTTOM,
    PLOT_LEFT,
    PLOT_TOP,
    PLOT_WIDTH,
    Line,
    LineChart,
    Point,
    Tick,
    drawable,
    value_ticks,
)


def curve_chart(series: Mapping[str, Sequence[tuple[Any, Any]]]) -> LineChart | None:
    """Place the curves, or return None when no point can be drawn; points without a place on both
    axes are left out."""
    drawn = {
        name: [
            (x, y)
            for x, y in ((drawable(x), drawable(y)) for x, y in points)
            if x is not None and y is not None
        ]
        for name, points in series.items()
    }
    points = [point for one in drawn.values() for point in one]
    if not points:
        return None
    x_ticks, y_ticks = (
        value_ticks(min(values), max(values)) for values in zip(*points, strict=True)
    )
    left, right = x_ticks[0][0], x_ticks[-1][0]
    bottom, top = y_ticks[0][0], y_ticks[-1][0]

    def across(x: float) -> float:
        return (x - left) / (right - left)

    def down(y: float) -> float:
        return round(PLOT_BOTTOM - (y - bottom) / (top - bottom) * (PLOT_BOTTOM - PLOT_TOP), 2)

    def percent(x: float) -> float:
        return round(PLOT_LEFT + PLOT_WIDTH * across(x), 3)

    return LineChart(
        tuple(
            Line(
                index,
                name,
                (" ".join(f"{round(1000 * across(x), 2)},{down(y)}" for x, y in one),),
                tuple(Point(percent(x), down(y)) for x, y in one if len(one) <= MARKED_POINTS),
            )
            for index, (name, one) in enumerate(drawn.items())
        ),
        tuple(Tick(text, percent(value)) for value, text in x_ticks),
        tuple(Tick(text, down(value)) for value, text in y_ticks),
    )
