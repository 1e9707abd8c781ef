"""Geometry of the confusion matrix: numbers in, pixel positions out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from pages.charts import drawable
from pages.text import CHARACTER_WIDTH, shorten, text_width

WRITTEN_CLASSES = 14  # up to so many classes the cells hold their values
LOOSE_CLASSES = 40
LABEL_LENGTH = 20


class Cell(NamedTuple):
    """One field of a matrix that holds a positive value."""

    x: float
    y: float
    row: str
    column: str
    text: str
    is_diagonal: bool
    opacity: float


class MatrixChart(NamedTuple):
    """A square heat map, label gutters at its left and top."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]
    size: float
    gutter: float
    extent: float
    has_text: bool


def matrix_chart(
    labels: Sequence[str], values: Sequence[Sequence[Any]], texts: Sequence[Sequence[str]]
) -> MatrixChart | None:
    """Place a heat map, each cell shaded by its share of its row, or None without labels.

    The shade grows with the square root of the share: a confusion of two per cent must be seen.
    """
    if not labels:
        return None
    has_text = len(labels) <= WRITTEN_CLASSES
    longest = max(len(text) for row in texts for text in row)
    size = max(34.0, CHARACTER_WIDTH * longest + 10) if has_text else 22.0
    if len(labels) > LOOSE_CLASSES:
        size = 13.0
    gutter = 14 + max(text_width(shorten(label, LABEL_LENGTH)) for label in labels)
    cells = []
    for i, row in enumerate(values):
        amounts = [max(0.0, drawable(value) or 0.0) for value in row]
        total = sum(amounts)
        for j, amount in enumerate(amounts):
            if amount > 0:
                opacity = round(0.12 + 0.88 * math.sqrt(amount / total), 3)
                x, y = round(gutter + j * size, 2), round(gutter + i * size, 2)
                cells.append(Cell(x, y, labels[i], labels[j], texts[i][j], i == j, opacity))
    extent = round(gutter + size * len(labels), 2)
    return MatrixChart(
        tuple(labels), tuple(cells), round(size, 2), round(gutter, 2), extent, has_text
    )
