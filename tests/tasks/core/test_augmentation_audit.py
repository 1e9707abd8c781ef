"""Intervals that keep their promise, and planted changes that are counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multinomial

from tasks.core.augmentation_audit import (
    choose_rows,
    family_confidence,
    find_changes,
    paired_interval,
    usual_suspects,
)
from tasks.core.policy import augment_batch, build_alone


def chance_to_overstate(gained: float, lost: float, num_pairs: int, confidence: float) -> float:
    """How probable it is, over all outcomes, that the interval lies above the true difference of
    the shares `gained` and `lost`."""
    model = multinomial(num_pairs, [gained, lost, 1 - gained - lost])
    return float(
        sum(
            model.pmf([more, less, num_pairs - more - less])
            for more in range(num_pairs + 1)
            for less in range(num_pairs + 1 - more)
            if paired_interval(more, less, num_pairs, confidence)[0] > gained - lost
        )
    )


@pytest.mark.parametrize(
    ("gained", "lost"), [(0.1, 0.0), (0.15, 0.05), (0.2, 0.1), (0.45, 0.35), (0.9, 0.05)]
)
@pytest.mark.parametrize("num_pairs", [10, 20, 40])
def test_a_change_is_overstated_no_more_often_than_an_interval_may_miss(gained, lost, num_pairs):
    for confidence in (0.95, 0.999):
        assert chance_to_overstate(gained, lost, num_pairs, confidence) <= 1 - confidence


def test_at_95_percent_the_interval_is_that_of_agresti_and_min():
    # Their half a pair is 0.48 of one exactly: z squared by 8.
    for gained, lost, pairs in ((12, 2, 50), (0, 0, 10), (30, 1, 40)):
        b, c, n = gained + 0.5, lost + 0.5, pairs + 2
        half = 1.959964 * np.sqrt((b + c) - (b - c) ** 2 / n) / n
        expected = ((b - c) / n - half, (b - c) / n + half)
        assert paired_interval(gained, lost, pairs, 0.95) == pytest.approx(expected, abs=0.01)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_intervals_are_antisymmetric_and_bounded(gained, lost, unchanged):
    pairs = gained + lost + unchanged
    low, high = paired_interval(gained, lost, pairs, 0.99)
    mirrored = paired_interval(lost, gained, pairs, 0.99)
    assert (-high, -low) == pytest.approx(mirrored)
    assert -1 <= low < high <= 1
    if pairs:
        wider = paired_interval(gained, lost, pairs, 0.9999)
        assert wider[0] <= low and high <= wider[1]


def test_a_family_of_intervals_shares_the_doubt():
    assert family_confidence(1) == pytest.approx(0.95)
    assert family_confidence(100) == pytest.approx(0.9995)


def test_planted_changes_are_counted_by_class():
    labels = np.repeat([0, 1, 3], 40)
    before, after = labels.copy(), labels.copy()
    before[:4] = 1  # 4 of class 0 lay among others all along
    after[2:34] = 3  # 2 of them move, and 30 more
    before[40:42], after[40:44] = 0, 0
    whole, zero, one, three = find_changes(labels, after, before, 4, 0.999)
    assert [each.label for each in (whole, zero, one, three)] == [None, 0, 1, 3]
    assert [each.num_images for each in (whole, zero, one, three)] == [120, 40, 40, 40]
    assert (zero.changed, zero.identity) == (32 / 40, 4 / 40)
    # 4 before; 30 gained, 2 lost.
    assert zero.difference == pytest.approx(28 / 40)
    assert (zero.low, zero.high) == paired_interval(30, 2, 40, 0.999)
    assert zero.looks_like == 3 and one.looks_like == 0 and three.looks_like is None
    assert one.difference == pytest.approx(2 / 40) and one.low < 0 < one.high
    assert whole.difference == pytest.approx(30 / 120)


def test_rows_are_chosen_evenly_by_class():
    labels = np.repeat([0, 1, 2], [500, 30, 3])
    chosen = choose_rows(labels, 60, 0)
    assert np.bincount(labels[chosen]).tolist() == [29, 28, 3] or (
        np.bincount(labels[chosen]).tolist() == [28, 29, 3]
    )
    assert len(set(chosen)) == 60 and (np.diff(chosen) > 0).all()
    assert (choose_rows(labels, 60, 0) == chosen).all()
    assert (choose_rows(labels, 60, 1) != chosen).any()
    assert (choose_rows(labels, 10_000, 0) == np.arange(533)).all()


@pytest.mark.parametrize("shape", [(16, 16, 1), (50, 50, 3)])
def test_suspects_do_what_their_names_say(shape):
    suspects = usual_suspects(shape)
    assert ("grey" in suspects) == (shape[2] == 3)
    image = np.random.default_rng(0).integers(0, 256, (1, *shape), dtype=np.uint8)

    def applied(title):
        return augment_batch(build_alone(suspects[title], shape[0]), image, 0, 0, 0)[0]

    assert (applied("horizontal flip") == image[0][:, ::-1]).all()
    assert (applied("vertical flip") == image[0][::-1]).all()
    assert np.abs(applied("turned by 180°").astype(int) - image[0][::-1, ::-1]).mean() < 3
    quarter = [np.rot90(image[0], turns).astype(int) for turns in (1, 3)]
    assert min(np.abs(applied("turned by 90°") - each).mean() for each in quarter) < 3
    shift = round(0.06 * shape[0])
    moved = build_alone(suspects[f"shift by {shift} px"], shape[0])
    # A point in the middle tells where it was moved to.
    point = np.zeros((60, *shape), dtype=np.uint8)
    point[:, shape[0] // 2, shape[1] // 2] = 255
    places = np.argwhere(augment_batch(moved, point, 0, 0, 0)[..., 0] > 128)[:, 1:] - shape[0] // 2
    assert np.abs(places).max() == shift and len(np.unique(places, axis=0)) > 5
