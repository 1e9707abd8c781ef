"""Geometry of parallel coordinates (Inselberg, 1985), with axes beneath each other, as a narrow
screen has more height than width. Shares in, positions out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pages.charts import Tick, drawable

AXIS_TOP = 34.0
AXIS_STEP = 66.0
AXIS_BOTTOM = 30.0
INSET = 1.0  # per cent at either side, so that the ends of an axis are seen


class Placed(NamedTuple):
    """An axis at `y` pixels, its marks in per cent of the width."""

    name: str
    y: float
    marks: tuple[Tick, ...]


class Thread(NamedTuple):
    """A polyline in a plot 1000 wide."""

    name: str
    path: str
    rank: int


class ParallelChart(NamedTuple):
    axes: tuple[Placed, ...]
    threads: tuple[Thread, ...]
    height: float


def parallel_chart(
    axes: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    strands: Sequence[tuple[str, Sequence[float], int]],
) -> ParallelChart | None:
    """Place the axes and the lines across them, or return None without axes or lines."""
    if not axes or not strands:
        return None
    heights = [AXIS_TOP + AXIS_STEP * number for number in range(len(axes))]
    return ParallelChart(
        tuple(
            Placed(name, y, tuple(Tick(text, _percent(share)) for text, share in marks))
            for (name, marks), y in zip(axes, heights, strict=True)
        ),
        tuple(
            Thread(
                name,
                " ".join(
                    f"{round(10 * _percent(share), 2)},{y}"
                    for share, y in zip(shares, heights, strict=True)
                ),
                rank,
            )
            for name, shares, rank in strands
        ),
        heights[-1] + AXIS_BOTTOM,
    )


def _percent(share: float) -> float:
    return round(INSET + (100 - 2 * INSET) * (drawable(share) or 0.0), 3)
