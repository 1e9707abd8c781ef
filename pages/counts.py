"""Counts by name, as documents hold them and charts show them."""

from collections.abc import Mapping

import pandas as pd

from pages.blocks import Bars

MOST_CLASSES = 40


def count_values(values: pd.Series) -> dict[str, int]:
    """How often each value occurs; missing ones are not counted."""
    return {str(value): int(count) for value, count in values.value_counts().sort_index().items()}


def class_bars(series: Mapping[str, Mapping[str, int]], caption: str) -> Bars:
    """Bars by class; of many classes the smallest alone, as they are the first to lack images."""
    first = next(iter(series.values()), {})
    smallest = sorted(first, key=lambda label: first[label])[:MOST_CLASSES]
    if len(smallest) < len(first):
        caption += f" The {len(smallest)} smallest of {len(first)} classes."
    chosen = set(smallest)
    return Bars(
        {
            name: {label: count for label, count in counts.items() if label in chosen}
            for name, counts in series.items()
        },
        caption,
    )
