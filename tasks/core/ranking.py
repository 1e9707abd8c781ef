"""Ranking rows by the probability of one class: area under the ROC curve, and average precision.

N rows, P of them positive, B samples
"""

from typing import NamedTuple, Self

import numpy as np


class Ranking(NamedTuple):
    """Rows in order of falling probability, and positive rows in the same order; those of equal
    probability share the places from `first_P` to before `end_P`."""

    order_N: np.ndarray
    positive_P: np.ndarray
    first_P: np.ndarray
    end_P: np.ndarray

    @classmethod
    def of(cls, probability_N: np.ndarray, positive_P: np.ndarray) -> Self:
        order_N = np.argsort(-probability_N, kind="stable")
        positive_P = positive_P[np.argsort(-probability_N[positive_P], kind="stable")]
        falling_N, falling_P = -probability_N[order_N], -probability_N[positive_P]
        first_P, end_P = (np.searchsorted(falling_N, falling_P, side) for side in ("left", "right"))
        return cls(order_N, positive_P, first_P, end_P)

    def measure(self, counts_NB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Area under the ROC curve and average precision (B,), where rows count as often as
        `counts_NB` says; NaN where no positive row counts, and the area where no other does.

        The first is the share of pairs in the right order, equal ones half (Mann and Whitney,
        1947); the second the mean over positive rows of the precision down to theirs, not
        interpolated, as scikit-learn has it.
        """
        counts_PB = counts_NB[self.positive_P]
        rows_B, positives_B = _sums_above(counts_NB[self.order_N]), _sums_above(counts_PB)
        # Of positive rows, those of equal probability stand together.
        rank_P = np.searchsorted(self.first_P, self.first_P, side="left")
        rank_end_P = np.searchsorted(self.first_P, self.first_P, side="right")
        all_end_PB, positive_end_PB = rows_B[self.end_P], positives_B[rank_end_P]
        others_above_PB = rows_B[self.first_P] - positives_B[rank_P]
        others_end_PB = all_end_PB - positive_end_PB
        inverted_B = (counts_PB * (others_above_PB + others_end_PB) / 2).sum(axis=0)
        num_positive_B = positives_B[-1]
        pairs_B = num_positive_B * (rows_B[-1] - num_positive_B)
        precision_PB = positive_end_PB / np.maximum(all_end_PB, 1)
        return (
            _where_some(pairs_B - inverted_B, pairs_B),
            _where_some((counts_PB * precision_PB).sum(axis=0), num_positive_B),
        )


def _sums_above(counts_NB: np.ndarray) -> np.ndarray:
    """How many rows count above each place, and below the last: (N + 1, B)."""
    sums = np.zeros((len(counts_NB) + 1, counts_NB.shape[1]))
    np.cumsum(counts_NB, axis=0, out=sums[1:])
    return sums


def _where_some(over_B: np.ndarray, under_B: np.ndarray) -> np.ndarray:
    return np.divide(over_B, under_B, out=np.full_like(over_B, np.nan), where=under_B > 0)
