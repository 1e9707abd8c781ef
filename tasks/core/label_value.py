"""Whether weighing rows, or leaving some out, makes a better model: measured on val.

N train rows, M val rows, F features, K classes, S seeds
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tasks.core.label_quality import Probe

_DRAWN_FRACTION = 0.8
_NUM_BOOTSTRAP = 1000


class Lesson(NamedTuple):
    """Rows to learn from, their labels, weights and scores (lower: more suspicious)."""

    features_NF: np.ndarray
    labels_N: np.ndarray
    weights_N: np.ndarray
    score_N: np.ndarray

    def take(self, rows: np.ndarray) -> "Lesson":
        return Lesson(*(values[rows] for values in self))

    def without_worst(self, fraction: float) -> "Lesson":
        order = np.argsort(self.score_N, kind="stable")
        return self.take(np.sort(order[round(fraction * len(order)) :]))


class Exam(NamedTuple):
    """Rows to be measured on, which nothing is learnt from."""

    features_MF: np.ndarray
    labels_M: np.ndarray


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


def compare_measures(
    lesson: Lesson,
    exam: Exam,
    num_classes: int,
    penalty: float,
    fractions: Sequence[float],
    seeds: Sequence[int],
    most_rows: int,
) -> dict[str, Comparison]:
    """What weights bring, and leaving out each of `fractions`, beside plain learning.

    Each seed draws its own train rows, at most `most_rows`; all measures get the same ones.
    """
    correct: dict[str, list[np.ndarray]] = {}
    num_drawn = min(most_rows, round(_DRAWN_FRACTION * len(lesson.labels_N)))
    for seed in seeds:
        rows = np.random.default_rng(seed).permutation(len(lesson.labels_N))[:num_drawn]
        drawn = lesson.take(np.sort(rows))
        for name, taken in measures(drawn, fractions).items():
            probe = Probe(num_classes, penalty)
            probe.fit(taken.features_NF, taken.labels_N, taken.weights_N)
            said_M = probe.predict(exam.features_MF).argmax(axis=1)
            correct.setdefault(name, []).append(said_M == exam.labels_M)
    plain_SM = np.stack(correct.pop("plain"))
    rng = np.random.default_rng(list(seeds))
    draws = draw_shares(exam.labels_M, rng)
    compared = {"plain": compare(plain_SM, plain_SM, exam.labels_M, draws, rng)}
    for name, correct_SM in correct.items():
        compared[name] = compare(np.stack(correct_SM), plain_SM, exam.labels_M, draws, rng)
    return compared


def measures(drawn: Lesson, fractions: Sequence[float]) -> dict[str, Lesson]:
    """Plain learning, weighted learning, and learning without the worst of each share."""
    plain = drawn._replace(weights_N=np.ones(len(drawn.labels_N)))
    return {
        "plain": plain,
        "weighted": drawn,
        **{f"without_worst_{fraction:g}": plain.without_worst(fraction) for fraction in fractions},
    }


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
