"""The order in which rows are seen, and who sees what of it."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tasks.core.errors import ParamsError


class Batch(NamedTuple):
    """`number` counts the batches of an epoch."""

    number: int
    rows: np.ndarray


class Part(NamedTuple):
    """What one process sees of a batch at once: its rows from `first` up to, not including,
    `last`."""

    epoch: int
    number: int
    rows: np.ndarray
    first: int
    last: int

    @property
    def own_rows(self) -> np.ndarray:
        return self.rows[self.first : self.last]

    def seed(self, seed: int) -> int:
        """For draws that hang on the part alone."""
        place = [seed, self.epoch, self.number, self.first]
        sequence = np.random.SeedSequence(place, spawn_key=(1,))
        return int(sequence.generate_state(1, np.uint64)[0])

    @property
    def places(self) -> np.ndarray:
        """Where in the batch the own rows stand."""
        return np.arange(self.first, self.last)


def shuffled_batches(rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
    """All rows once, in an order drawn from (seed, epoch).

    Batches differ by a row at most: a small last one would weigh as much as the others. None is of
    one row, as batch norm has no variance to divide by there: an odd number of rows in batches of
    two has one of three.
    """
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    count = num_batches(len(rows), batch_size)
    for number, chosen in enumerate(np.array_split(order, count) if count else []):
        yield Batch(number, chosen)


def num_batches(num_rows: int, batch_size: int) -> int:
    """How many batches `shuffled_batches` yields, each of two rows at least."""
    return min(-(-num_rows // batch_size), num_rows // 2)


def parts_of(batch: Batch, epoch: int, num_parts: int) -> list[Part]:
    """The batch in `num_parts` parts, whose sizes differ by one at most."""
    ends = np.linspace(0, len(batch.rows), num_parts + 1).astype(int).tolist()
    return [Part(epoch, batch.number, batch.rows, first, last) for first, last in pairwise(ends)]


def check_parts(num_rows: int, batch_size: int, num_parts: int) -> None:
    """Raises ParamsError where a part would be of less than two rows."""
    smallest = num_rows // max(1, num_batches(num_rows, batch_size))
    if smallest < 2 * num_parts:
        raise ParamsError(
            f"params.yaml: batches of {smallest} rows cannot be divided by processes and "
            f"num_accumulated into {num_parts} parts; expected at least two rows in each"
        )
