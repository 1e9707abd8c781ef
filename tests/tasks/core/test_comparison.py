"""Scores are balanced accuracies, and intervals hold the truth."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from tasks.core.comparison import compare, draw_shares


def test_scores_are_balanced_accuracies_over_seeds():
    labels = np.random.default_rng(1).integers(3, size=300)
    right = np.random.default_rng(0).random((3, 300)) < 0.8
    shares = draw_shares(labels, np.random.default_rng(0))
    one = compare(right, right, labels, shares, np.random.default_rng(0))
    said = np.where(right, labels, (labels + 1) % 3)
    scores = [balanced_accuracy_score(labels, each) for each in said]
    assert one.balanced_accuracy == pytest.approx(np.mean(scores))
    assert one.sd == pytest.approx(np.std(scores, ddof=1))
    assert (one.difference, one.low, one.high) == (0, 0, 0)


def test_bootstrap_shares_keep_classes_equal():
    labels = np.array([0] * 90 + [2] * 10)
    shares = draw_shares(labels, np.random.default_rng(0))
    assert shares[:, labels == 0].sum(axis=1) == pytest.approx(0.5)
    assert shares[:, labels == 2].sum(axis=1) == pytest.approx(0.5)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Two measures that are right equally often: 95 % of intervals hold 0, or nearly so many."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    held = 0
    for _ in range(60):
        # Seeds mostly agree on a val row, as models of the same data do.
        plain, other = (np.repeat(rng.random((1, 200)) < 0.8, 3, axis=0) for _ in range(2))
        one = compare(other, plain, labels, draw_shares(labels, rng), rng)
        held += one.verdict == "made no difference"
    assert 51 <= held <= 60
