"""Geometry of a heat map of shares: numbers in, pixel positions out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pages.charts import drawable
from pages.text import shorten, text_width

WRITTEN_COLUMNS = 24  # up to so many columns the cells hold their values
LABEL_LENGTH = 26
HEIGHT = 28.0


class Cell(NamedTuple):
    """One field; `text` is its share in per cent, with a mark that does not hang on colour."""

    x: float
    y: float
    row: str
    column: str
    text: str
    is_marked: bool
    opacity: float


class HeatmapChart(NamedTuple):
    """Rows down, columns across; labels lie in gutters at the left and at the top."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[Cell, ...]
    cell_width: float
    left: float
    top: float
    right: float
    bottom: float
    has_text: bool


def heatmap_chart(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[Any]],
    marked: Sequence[Sequence[bool]],
) -> HeatmapChart | None:
    """Place the cells, each shaded by its value from 0 (or less, or missing) to 1, or return None
    without rows or columns."""
    if not rows or not columns:
        return None
    has_text = len(columns) <= WRITTEN_COLUMNS
    width = 40.0 if has_text else 16.0
    left = 14 + max(text_width(shorten(row, LABEL_LENGTH)) for row in rows)
    top = 14 + max(text_width(shorten(column, LABEL_LENGTH)) for column in columns)
    cells = []
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            share = min(1.0, max(0.0, drawable(values[i][j]) or 0.0))
            text = f"{100 * share:.0f}{' !' if marked[i][j] else ''}"
            x, y = round(left + j * width, 2), round(top + i * HEIGHT, 2)
            cells.append(Cell(x, y, row, column, text, marked[i][j], round(share, 3)))
    return HeatmapChart(
        tuple(rows),
        tuple(columns),
        tuple(cells),
        width,
        round(left, 2),
        round(top, 2),
        round(left + width * len(columns), 2),
        round(top + HEIGHT * len(rows), 2),
        has_text,
    )
