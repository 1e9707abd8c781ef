"""Which rows are worth a person's look.

N images, K classes
"""

from typing import NamedTuple

import numpy as np


class Examples(NamedTuple):
    """Positions among the rows that were asked about, each in one group at most."""

    mistakes: np.ndarray
    uncertain: np.ndarray
    random: np.ndarray


def choose_examples(
    labels_N: np.ndarray,
    probabilities_NK: np.ndarray,
    num_mistakes: int,
    num_uncertain: int,
    num_per_class: int,
    seed: int,
) -> Examples:
    """The most confident mistakes, then of the rest the least certain (the two best classes are
    nearest), then of the rest some of each class at random, class by class."""
    said_N = probabilities_NK.argmax(axis=1)
    confidence_N = probabilities_NK.max(axis=1)
    wrong = np.flatnonzero(said_N != labels_N)
    mistakes = wrong[np.argsort(-confidence_N[wrong], kind="stable")][:num_mistakes]
    rest = np.setdiff1d(np.arange(len(labels_N)), mistakes)
    best_N2 = np.sort(probabilities_NK, axis=1)[:, -2:]
    margin_N = best_N2[:, -1] - best_N2[:, 0]
    uncertain = rest[np.argsort(margin_N[rest], kind="stable")][:num_uncertain]
    rest = np.random.default_rng(seed).permutation(np.setdiff1d(rest, uncertain))
    some = [rest[labels_N[rest] == label][:num_per_class] for label in np.unique(labels_N)]
    return Examples(mistakes, uncertain, np.concatenate(some))
