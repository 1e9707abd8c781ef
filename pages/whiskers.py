"""Geometry of values with their intervals: numbers in, positions out.

Horizontal positions are percentages of the chart's width, vertical ones pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pages.blocks import Spread
from pages.charts import Tick, drawable, value_ticks
from pages.text import shown

LEFT = 36.0  # per cent; room for the names
SPAN = 60.0
ROW_HEIGHT = 24.0
LABEL_LENGTH = 20


class Whisker(NamedTuple):
    """A dot at the value, a line from low to high; `text` tells all three."""

    name: str
    text: str
    at: float
    low: float
    high: float
    y: float


class WhiskerChart(NamedTuple):
    """Whiskers from the top down, and where the reference lies."""

    whiskers: tuple[Whisker, ...]
    ticks: tuple[Tick, ...]
    reference: float
    height: float


def whisker_chart(spreads: Sequence[Spread], reference: float) -> WhiskerChart | None:
    """Place the whiskers, or return None where there is none. Raises ValueError for a number that
    has no place on an axis."""
    if not spreads:
        return None
    numbers = [reference, *(number for one in spreads for number in one[1:])]
    if any(drawable(number) is None for number in numbers):
        raise ValueError(f"expected numbers that can be drawn, found {numbers}")
    ticks = value_ticks(min(numbers), max(numbers))
    left, right = ticks[0][0], ticks[-1][0]

    def percent(value: float) -> float:
        return round(LEFT + SPAN * (value - left) / (right - left), 3)

    return WhiskerChart(
        tuple(
            Whisker(
                one.name,
                f"{shown(one.value)} ({shown(one.low)} to {shown(one.high)})",
                percent(one.value),
                percent(one.low),
                percent(one.high),
                (row + 0.5) * ROW_HEIGHT,
            )
            for row, one in enumerate(spreads)
        ),
        tuple(Tick(text, percent(value)) for value, text in ticks),
        percent(reference),
        len(spreads) * ROW_HEIGHT,
    )
