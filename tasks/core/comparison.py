"""Whether one way of predicting is better than another: both measured on the same rows.

M val rows, S seeds, B bootstrap samples
"""

from typing import NamedTuple

import numpy as np

_NUM_BOOTSTRAP = 1000


class Comparison(NamedTuple):
    """Balanced accuracy on val with a measure taken, over seeds, and its difference from plain
    learning with a 95 % interval over val rows and seeds."""

    balanced_accuracy: float
    sd: float
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        if self.low > 0:
            return "helped"
        return "hurt" if self.high < 0 else "made no difference"


def draw_shares(labels_M: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap weights (B, M) of val rows, drawn within each class, that make a weighted accuracy
    a balanced one."""
    shares_BM = np.zeros((_NUM_BOOTSTRAP, len(labels_M)))
    classes = np.unique(labels_M)
    for label in classes:
        rows = np.flatnonzero(labels_M == label)
        counts = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), _NUM_BOOTSTRAP)
        shares_BM[:, rows] = counts / (len(rows) * len(classes))
    return shares_BM


def compare(
    with_SM: np.ndarray,
    plain_SM: np.ndarray,
    labels_M: np.ndarray,
    shares_BM: np.ndarray,
    rng: np.random.Generator,
) -> Comparison:
    """Which val rows were said right (S, M) with a measure and without."""
    sizes = np.bincount(labels_M)
    share_M = 1 / (sizes[labels_M] * (sizes > 0).sum())
    scores_S = with_SM @ share_M
    differences_SM = with_SM.astype(float) - plain_SM.astype(float)
    drawn_BS = shares_BM @ differences_SM.T
    seeds_BS = rng.integers(drawn_BS.shape[1], size=drawn_BS.shape)
    means_B = np.take_along_axis(drawn_BS, seeds_BS, axis=1).mean(axis=1)
    low, high = np.quantile(means_B, [0.025, 0.975])
    return Comparison(
        balanced_accuracy=float(scores_S.mean()),
        sd=float(scores_S.std(ddof=1)) if len(scores_S) > 1 else 0.0,
        difference=float((differences_SM @ share_M).mean()),
        low=float(low),
        high=float(high),
    )
