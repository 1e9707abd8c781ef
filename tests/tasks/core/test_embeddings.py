"""What embeddings are worth, against plain loops."""

import math

import numpy as np
import pytest

from tasks.core.embeddings import feature_spread, knn_accuracy, normalise, vote_of_neighbours


def reference_knn(train, labels, val, val_labels) -> float:
    correct = 0
    for row, label in zip(val, val_labels, strict=True):
        similar = sorted(
            ((row @ other / np.linalg.norm(row) / np.linalg.norm(other), given)
             for other, given in zip(train, labels, strict=True)),
            key=lambda pair: -pair[0],
        )[:20]  # fmt: skip
        votes: dict[int, float] = {}
        for similarity, given in similar:
            votes[given] = votes.get(given, 0.0) + math.exp(similarity / 0.07)
        correct += max(votes, key=lambda key: votes[key]) == label
    return correct / len(val)


@pytest.mark.parametrize("num_train", [1, 7, 20, 21, 150])
def test_knn_accuracy_equals_the_plain_vote(num_train):
    rng = np.random.default_rng(num_train)
    train, val = rng.normal(size=(num_train, 6)) * 3, rng.normal(size=(90, 6))
    labels, val_labels = rng.integers(5, size=num_train), rng.integers(6, size=90)
    expected = reference_knn(train, labels, val, val_labels)
    assert knn_accuracy(train, labels, val, val_labels) == pytest.approx(expected, abs=1e-12)


def test_knn_accuracy_counts_every_chunk():
    train = np.array([[1.0, 0.0], [0.0, 1.0]])
    right, wrong = np.tile([1.0, 0.1], (1500, 1)), np.tile([0.1, 1.0], (700, 1))
    val = np.concatenate([right, wrong])
    accuracy = knn_accuracy(train, np.array([0, 1]), val, np.zeros(2200, dtype=int))
    assert accuracy == 1500 / 2200


def test_an_image_has_no_vote_on_itself():
    rng = np.random.default_rng(1)
    train, labels = rng.normal(size=(1300, 5)), rng.integers(3, size=1300)
    # Without their own votes, the nearest of each is another; with it, always itself.
    assert (vote_of_neighbours(train, labels, train, 1, 3) == labels).all()
    voted = vote_of_neighbours(train, labels, train, 1, 3, np.arange(1300))
    unit = normalise(train)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -2)
    assert (voted == labels[similarity.argmax(axis=1)]).all()


def test_more_neighbours_than_there_are_count_once_each():
    train, labels = np.eye(3), np.array([0, 1, 1])
    assert vote_of_neighbours(train, labels, train, 50, 2, np.arange(3)).tolist() == [1, 0, 0]


def test_normalise_gives_unit_rows_and_survives_zero():
    rows = normalise(np.array([[3.0, 4.0], [0.0, 0.0], [-1e-3, 0.0]]))
    assert np.allclose(rows, [[0.6, 0.8], [0.0, 0.0], [-1.0, 0.0]])


def test_feature_spread_is_0_for_one_point_and_about_1_for_all_directions():
    point = np.tile([0.3, -2.0, 5.0], (50, 1))
    assert feature_spread(point) == pytest.approx(0, abs=1e-6)
    # Length says nothing about direction.
    assert feature_spread(point * np.linspace(1, 9, 50)[:, None]) == pytest.approx(0, abs=1e-6)
    gaussian = np.random.default_rng(0).normal(size=(4000, 64))
    assert feature_spread(gaussian) == pytest.approx(1, abs=0.02)


def test_feature_spread_falls_with_lost_directions():
    gaussian = np.random.default_rng(0).normal(size=(2000, 64))
    collapsed = gaussian.copy()
    collapsed[:, 4:] = 0
    assert feature_spread(collapsed) < 0.5 < 0.9 < feature_spread(gaussian)
