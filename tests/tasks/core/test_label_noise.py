"""Planted noise is counted by pair, trust in labels is a true probability, and classes that are one
are told."""

import numpy as np
import pytest

from tasks.core.label_noise import (
    count_errors,
    estimate_mistakes,
    find_noisy_pairs,
    find_overlapping,
    trust_labels,
)

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


# How often an ant, a bee, a cat (across) is called one (down).
MISTAKES = np.array([[0.7, 0.05, 0.0], [0.3, 0.95, 0.1], [0.0, 0.0, 0.9]])


@pytest.fixture(scope="module")
def mistaken():
    """20,000 images that show classes more and less clearly: what they show, labels, truth."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.2, 0.2, 0.2], size=20_000)
    truth = (rng.random((20_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    labels = (rng.random((20_000, 1)) > MISTAKES.T[truth].cumsum(axis=1)).sum(axis=1)
    return probabilities, labels, truth


def test_mistakes_are_counted_among_the_clearest_images(mistaken):
    probabilities, labels, _ = mistaken
    assert estimate_mistakes(labels, probabilities) == pytest.approx(MISTAKES, abs=0.03)


def test_trust_is_the_share_of_labels_that_are_right(mistaken):
    probabilities, labels, truth = mistaken
    trusted = trust_labels(labels, probabilities)
    is_right = labels == truth
    for least in np.arange(0, 1, 0.1):
        among = (trusted >= least) & (trusted < least + 0.1)
        assert among.sum() > 200
        assert is_right[among].mean() == pytest.approx(trusted[among].mean(), abs=0.06)
    # A label that nothing is mistaken for is trusted though the image hardly shows it.
    hardly = (labels == 2) & (probabilities[:, 2] < 0.3)
    assert trusted[hardly].mean() > 0.9


def test_nothing_is_said_of_labels_of_a_class_that_images_do_not_show():
    """Of 1,000 images 20 are of a rare class, and look as the others do; 100 of a third, plain one
    are called bees."""
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [20, 680, 300])
    labels = np.where(np.arange(1000) >= 900, 1, truth)
    shown = np.where(truth[:, None] == 2, [0.001, 0.009, 0.99], [0.03, 0.96, 0.01])
    probabilities = shown * rng.uniform(0.9, 1.1, shown.shape)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    trusted = trust_labels(labels, probabilities)
    assert (trusted[labels == 0] == 1).all()
    assert (trusted[truth != labels] < 0.5).all()
    assert trusted[(truth == labels) & (labels > 0)].min() > 0.9


def test_mistakes_that_were_not_seen_stay_possible_and_empty_classes_say_nothing():
    clear = np.insert(np.eye(2)[np.arange(20) % 2], 1, 0.0, axis=1)
    labels = np.array([0, 2])[np.arange(20) % 2]
    mistakes = estimate_mistakes(labels, clear)
    # Two of ten rows stand for each class, and one more for all labels.
    right, wrong = (2 + 1 / 3) / 3, (1 / 3) / 3
    assert mistakes[:, 0] == pytest.approx([right, wrong, wrong])
    assert mistakes[:, 1] == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert mistakes[:, 2] == pytest.approx([wrong, wrong, right])
    assert trust_labels(labels, clear) == pytest.approx(np.ones(20))


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
