"""The order in which rows are seen."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """`number` counts the batches of an epoch."""

    number: int
    rows: np.ndarray


def shuffled_batches(rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
    """All rows once, in an order drawn from (seed, epoch).

    A last batch of one row is left out: batch norm has no variance to divide by.
    """
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    for number, start in enumerate(range(0, len(order), batch_size)):
        chosen = order[start : start + batch_size]
        if len(chosen) > 1:
            yield Batch(number, chosen)


def num_batches(num_rows: int, batch_size: int) -> int:
    """How many batches `shuffled_batches` yields."""
    full, rest = divmod(num_rows, batch_size)
    return full + (rest > 1)
