"""Named subsets of rows, and what predictions are worth in each.

N rows
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tasks.core.intervals import wilson_interval

# By name, which rows are in it, bool (N,).
Slices = dict[str, np.ndarray]
ALL = "all"
_CONFIDENCES = (0.0, 0.5, 0.8, 0.95, 1.0)


def is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def split_column(column: pd.Series, taught: pd.Series, tail_fraction: float) -> Slices:
    """`column=value` for each value; of numbers `column=low`, `=middle` and `=high`, cut where the
    tails of the train rows begin. A row without a value is in none."""
    known_N = column.notna().to_numpy()
    if not is_numeric(column):
        values = sorted(column[known_N].astype(str).unique())
        texts = column.astype(str)
        return {f"{column.name}={value}": known_N & (texts == value).to_numpy() for value in values}
    numbers = column.to_numpy(dtype=float, na_value=np.nan)
    cuts = taught.dropna().to_numpy(dtype=float)
    if not len(cuts):
        return {}
    low, high = np.quantile(cuts, [tail_fraction, 1 - tail_fraction])
    return {
        f"{column.name}=low": known_N & (numbers < low),
        f"{column.name}=middle": known_N & (numbers >= low) & (numbers <= high),
        f"{column.name}=high": known_N & (numbers > high),
    }


def split_rows(
    traits: pd.DataFrame, taught: pd.DataFrame, tail_fraction: float, least_rows: int
) -> Slices:
    """Slices by every column that are neither all rows nor fewer than `least_rows`."""
    found: Slices = {}
    for name in traits:
        found |= split_column(traits[name], taught[name], tail_fraction)
    return {
        name: rows_N for name, rows_N in found.items() if least_rows <= rows_N.sum() < len(traits)
    }


def split_confidence(confidence_N: np.ndarray) -> Slices:
    """By how sure the model was: slices of its own making, which differ from model to model."""
    edges = itertools.pairwise(_CONFIDENCES)
    return {
        f"confidence={low:g}-{high:g}": (confidence_N >= low)
        & ((confidence_N < high) | (high == _CONFIDENCES[-1]))
        for low, high in edges
    }


def list_members(slices: Slices, image_ids: np.ndarray) -> pd.DataFrame:
    """image_id, slice: a row per image and slice that it is in."""
    members = [(image_id, name) for name in slices for image_id in image_ids[slices[name]]]
    return pd.DataFrame(members, columns=["image_id", "slice"], dtype="string")


def measure_slices(
    slices: Mapping[str, np.ndarray],
    is_right_N: np.ndarray,
    confidence_N: np.ndarray,
    losses_N: np.ndarray,
) -> list[dict[str, Any]]:
    """Of each slice that has rows: accuracy with Wilson's interval, the accuracy of all other rows,
    mean confidence (above accuracy: too sure) and log loss."""
    return [
        {
            "slice": name,
            "num_rows": int(rows_N.sum()),
            "accuracy": wilson_interval(int(is_right_N[rows_N].sum()), int(rows_N.sum())),
            "others_accuracy": float(is_right_N[~rows_N].mean()) if not rows_N.all() else None,
            "confidence": float(confidence_N[rows_N].mean()),
            "log_loss": float(losses_N[rows_N].mean()),
        }
        for name, rows_N in slices.items()
        if rows_N.any()
    ]
