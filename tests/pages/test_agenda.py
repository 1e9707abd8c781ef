"""What is worth a person's time: what concerns more, or spoils more, comes first."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.agenda import MOST_POINTS, find_points
from pages.quality_numbers import measure_quality
from tests.pages.qualities import a_quality

NOTHING: dict[str, Any] = {
    "num_arrived": 1000,
    "num_rejected": 0,
    "rejected_fraction": 0.0,
    "num_rows": {"train": 600, "val": 200, "test": 200, "unlabelled": 0},
    "arrived_by_label": {"a": 500, "b": 500},
    "augmentation": {"flagged": {}, "transforms": {}},
    "rules": {"raw": {"num_holding": 10, "num_broken": 0}},
    "compared": {},
    "overlapping_classes": [],
    "small_classes": [],
    "imbalance": 1.0,
    **dict.fromkeys(
        ("num_conflicts", "num_to_review", "num_outliers", "num_missed_leaks", "num_leaks"), 0
    ),
    **dict.fromkeys(("num_dropped_by_rebalance", "num_broken", "num_odd"), 0),
}
COUNTS = ["num_conflicts", "num_to_review", "num_outliers", "num_missed_leaks", "num_leaks"]


def found(**changed: Any) -> list[str]:
    return [point.what for point in find_points({**NOTHING, **changed})]


def test_where_nothing_is_wrong_nothing_is_asked():
    assert find_points(NOTHING) == []


@pytest.mark.parametrize("count", COUNTS)
def test_a_number_that_is_not_nought_is_a_point(count):
    (point,) = find_points({**NOTHING, count: 7})
    assert point.number == 7


def test_five_at_most():
    assert len(find_points(measure_quality(a_quality()))) == MOST_POINTS


@given(st.integers(1, 400), st.integers(1, 400))
def test_of_two_concerns_that_cost_alike_the_larger_comes_first(leaks, missed):
    """Look-alikes that stay cost four times what was left out does."""
    first = found(num_leaks=leaks, num_missed_leaks=missed)[0]
    assert first.startswith("Look-alikes" if 4 * missed >= leaks else "Near-duplicates")


def test_two_labels_of_one_image_in_a_large_set_do_not_hide_many_rejected_files():
    order = found(num_conflicts=1, num_rejected=300, rejected_fraction=0.3)
    assert order == ["Rejected files", "Images that came with two labels"]


def test_look_alikes_that_were_dropped_ask_for_nothing():
    assert found(num_missed_leaks=3, num_dropped_by_rebalance=3) == []


@pytest.mark.parametrize(("imbalance", "asked"), [(4.9, 0), (5.0, 1), (100.0, 1)])
def test_classes_must_be_lopsided_to_be_named(imbalance, asked):
    assert len(found(imbalance=imbalance)) == asked
