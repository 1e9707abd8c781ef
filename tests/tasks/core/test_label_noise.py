"""Planted noise is counted by pair, and classes that are one are told."""

import numpy as np
import pytest

from tasks.core.label_noise import count_errors, find_noisy_pairs, find_overlapping

CLASSES = ["ant", "bee", "cat"]


@pytest.fixture(scope="module")
def confused():
    """600 rows of three classes, 60 of 200 ants called bees, and what a model learns of them."""
    truth = np.repeat([0, 1, 2], 200)
    labels = truth.copy()
    labels[:60] = 1
    return labels, np.array([[0.7, 0.3, 0], [0, 1, 0], [0, 0, 1]])[truth]


def test_errors_are_counted_by_given_label_and_class_shown(confused):
    labels, probabilities = confused
    joint = count_errors(labels, probabilities)
    assert joint.sum(axis=1) == pytest.approx(np.bincount(labels))
    expected = np.array([[140, 0, 0], [60, 200, 0], [0, 0, 200]])
    assert joint == pytest.approx(expected)
    (pair,) = find_noisy_pairs(joint, CLASSES, 20)
    assert (pair["label"], pair["shows"]) == ("bee", "ant")
    assert pair["num_expected"] == 60
    assert pair["label_fraction"] == pytest.approx(60 / 260, abs=1e-6)


def test_pairs_come_worst_first_and_none_of_less_than_a_row():
    joint = np.array([[90, 3.0, 7], [0.6, 90, 0], [1.0, 2, 90]])
    pairs = find_noisy_pairs(joint, CLASSES, 3)
    assert [(pair["label"], pair["shows"]) for pair in pairs] == [
        ("ant", "cat"),
        ("ant", "bee"),
        ("cat", "bee"),
    ]
    assert len(find_noisy_pairs(joint, CLASSES, 20)) == 4


def test_a_class_that_nobody_has_has_no_errors(confused):
    labels, probabilities = confused
    wider = np.insert(probabilities, 1, 0.0, axis=1)
    joint = count_errors(np.array([0, 2, 3])[labels], wider)
    assert not joint[1].any() and not joint[:, 1].any()
    others = np.ix_([0, 2, 3], [0, 2, 3])
    assert joint[others] == pytest.approx(count_errors(labels, probabilities))


def test_a_single_class_is_right_everywhere():
    joint = count_errors(np.ones(5, dtype=int), np.full((5, 2), 0.5))
    assert joint.tolist() == [[0, 0], [0, 5]]


def test_classes_that_look_alike_overlap():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=900)
    alike = np.where(labels[:, None] == 2, [0.02, 0.02, 0.96], [0.49, 0.49, 0.02])
    probabilities = rng.dirichlet([5, 5, 5], size=900) * 0.1 + 0.9 * alike
    (pair,) = find_overlapping(count_errors(labels, probabilities), CLASSES, 0.2)
    assert pair["classes"] == ["ant", "bee"]
    assert pair["confused_fraction"] == pytest.approx(0.5, abs=0.1)


def test_the_bound_of_overlap_is_a_share_of_both_classes():
    joint = np.array([[80.0, 20, 0], [10, 90, 0], [0, 0, 100]])
    assert find_overlapping(joint, CLASSES, 0.16) == []
    (pair,) = find_overlapping(joint, CLASSES, 0.15)
    assert pair == {"classes": ["ant", "bee"], "confused_fraction": 0.15}
