"""What embeddings are worth, against plain loops."""

import math

import numpy as np
import pytest

from tasks.core.embeddings import (
    effective_rank,
    feature_spread,
    has_collapsed,
    knn_accuracy,
    normalise,
    vote_of_neighbours,
)


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


def reference_effective_rank(rows: np.ndarray) -> float:
    values = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    shares = [value / values.sum() for value in values if value > 0]
    return math.exp(-sum(share * math.log(share) for share in shares))


@pytest.mark.parametrize("shape", [(40, 6), (6, 40), (20, 20), (2, 3)])
def test_effective_rank_is_the_entropy_of_the_singular_values(shape):
    rows = np.random.default_rng(0).normal(size=shape) * np.linspace(0.1, 3, shape[1]) + 5
    assert effective_rank(rows) == pytest.approx(reference_effective_rank(rows), rel=1e-5)
    assert 1 <= effective_rank(rows) <= min(shape[0] - 1, shape[1]) + 1e-9


def test_effective_rank_counts_equal_directions():
    for num_directions in (1, 3, 8):
        axes = np.zeros((2 * num_directions, 10))
        for axis in range(num_directions):
            axes[2 * axis, axis], axes[2 * axis + 1, axis] = 1, -1
        assert effective_rank(axes + 0.7) == pytest.approx(num_directions, rel=1e-6)
    assert effective_rank(np.ones((5, 4))) == 0


def spread_and_rank(embeddings: np.ndarray) -> tuple[float, float, float]:
    return feature_spread(embeddings), 0.9, effective_rank(embeddings)


def test_planted_collapses_are_told_and_poor_encoders_are_not():
    rng = np.random.default_rng(0)
    # As convolutional nets give them: positive, and so less far apart than directions could be.
    fresh = rng.gamma(2.0, size=(400, 64))
    point = fresh[:1] + 1e-6 * rng.normal(size=fresh.shape)
    near_point = 10 + 0.05 * fresh
    line = rng.normal(size=(400, 1)) * rng.normal(size=(1, 64)) + 1e-3 * fresh
    assert not has_collapsed(*spread_and_rank(fresh))
    assert not has_collapsed(*spread_and_rank(rng.normal(size=(400, 8)) @ rng.normal(size=(8, 64))))
    for collapsed in (point, near_point, line):
        assert has_collapsed(*spread_and_rank(collapsed))
    # Where only the projector has collapsed, the encoder learns no more.
    assert has_collapsed(0.6, 0.03, 10.0)
