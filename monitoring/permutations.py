"""Sums of features over a group of rows, and over the same number of rows dealt out at random.

All statistics here are functions of such sums, so that one dealing serves them all. Under the null
hypothesis the group is one dealing among many, which makes the p-values exact for a reference of
any size, fixed or not (Hemerik and Goeman, Exact testing with random permutations, 2018).

N rows, F features, P dealings, the first of which is the group as it is
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

_BLOCK = 128
# Sums in another order differ by so much, which must not decide whether two are equal.
_RELATIVE, _ABSOLUTE = 1e-5, 1e-9


class Sums(NamedTuple):
    """Sums over the group (P, F) and over the others (P, F), and how many rows each has."""

    group_PF: np.ndarray
    others_PF: np.ndarray
    num_group: int
    num_others: int

    @property
    def gap_PF(self) -> np.ndarray:
        """Mean of the group − mean of the others."""
        return self.group_PF / self.num_group - self.others_PF / self.num_others


class Question(NamedTuple):
    """Features of every row (N, F), dense or a sparse matrix, and what is asked of their sums: a
    statistic (P,), larger where the group differs more."""

    features_NF: Any
    statistic: Callable[[Sums], np.ndarray]


class Answer(NamedTuple):
    """`excess`: by how much the statistic exceeds its mean over the dealings."""

    statistic: float
    p_value: float
    excess: float


def ask(
    questions: Mapping[str, Question], is_group_N: np.ndarray, num_dealt: int, seeds: list[int]
) -> dict[str, Answer]:
    """The same dealings answer every question."""
    rng = np.random.default_rng(seeds)
    num_group = int(is_group_N.sum())
    sides = num_group, len(is_group_N) - num_group
    totals = {
        name: np.asarray(question.features_NF.sum(axis=0, dtype=np.float64)).ravel()
        for name, question in questions.items()
    }
    found: dict[str, list[np.ndarray]] = {name: [] for name in questions}
    for first in range(0, num_dealt + 1, _BLOCK):
        count = min(_BLOCK, num_dealt + 1 - first)
        masks_PN = rng.permuted(np.tile(is_group_N, (count, 1)), axis=1)
        if first == 0:
            masks_PN[0] = is_group_N
        masks_NP = np.ascontiguousarray(masks_PN.T, dtype=np.float32)
        for name, question in questions.items():
            group_PF = np.asarray(question.features_NF.T @ masks_NP, dtype=np.float64).T
            sums = Sums(group_PF, totals[name] - group_PF, *sides)
            found[name].append(question.statistic(sums))
    return {name: _answer(np.concatenate(parts)) for name, parts in found.items()}


def _answer(statistic_P: np.ndarray) -> Answer:
    own = statistic_P[0]
    as_large = statistic_P >= own - _RELATIVE * abs(own) - _ABSOLUTE
    excess = own - statistic_P.mean()
    return Answer(float(own), float(as_large.mean()), float(excess))
