"""Whether weighing rows, or leaving some out, makes a better model: measured on val.

N train rows, M val rows, F features, K classes, S seeds
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tasks.core.comparison import Comparison, compare, draw_shares
from tasks.core.label_quality import Probe

_DRAWN_FRACTION = 0.8


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
