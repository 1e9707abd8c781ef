"""Rows are drawn so that classes are as frequent as asked, and nothing is made up."""

import numpy as np
import pytest

from tasks.core.errors import ParamsError
from tasks.rebalance import Params, count_classes, resample

LABELS = np.array(["a"] * 30 + ["b"] * 12 + ["c"] * 3)


def drawn(sampler: str, strategy, seed: int = 0, labels: np.ndarray = LABELS) -> np.ndarray:
    chosen = resample(labels, Params(sampler=sampler, sampling_strategy=strategy), seed)  # type: ignore[arg-type]
    assert (np.diff(chosen) >= 0).all()
    assert chosen.min() >= 0 and chosen.max() < len(labels)
    return chosen


@pytest.mark.parametrize(
    ("sampler", "strategy", "expected"),
    [
        ("none", "auto", {"a": 30, "b": 12, "c": 3}),
        ("RandomOverSampler", "auto", {"a": 30, "b": 30, "c": 30}),
        ("RandomOverSampler", "minority", {"a": 30, "b": 12, "c": 30}),
        ("RandomOverSampler", {"c": 7}, {"a": 30, "b": 12, "c": 7}),
        ("RandomUnderSampler", "auto", {"a": 3, "b": 3, "c": 3}),
        ("RandomUnderSampler", "majority", {"a": 3, "b": 12, "c": 3}),
        ("RandomUnderSampler", {"a": 10, "b": 10}, {"a": 10, "b": 10, "c": 3}),
    ],
)
def test_classes_are_as_frequent_as_asked(sampler, strategy, expected):
    chosen = drawn(sampler, strategy)
    assert count_classes(LABELS[chosen]) == expected
    if sampler == "RandomUnderSampler":
        assert len(set(chosen)) == len(chosen)
    else:
        assert set(chosen) == set(range(45))


def test_draws_hang_on_the_seed():
    assert (drawn("RandomOverSampler", "auto", 1) == drawn("RandomOverSampler", "auto", 1)).all()
    assert (drawn("RandomOverSampler", "auto", 1) != drawn("RandomOverSampler", "auto", 2)).any()


@pytest.mark.parametrize(
    ("sampler", "strategy", "labels"),
    [
        ("RandomOverSampler", {"d": 9}, LABELS),
        ("RandomOverSampler", {"a": 5}, LABELS),
        ("RandomUnderSampler", {"c": 9}, LABELS),
        ("RandomOverSampler", "auto", LABELS[:10]),
        ("RandomOverSampler", "majority", LABELS),
    ],
)
def test_the_impossible_is_told(sampler, strategy, labels):
    with pytest.raises(ParamsError, match=r"rebalance\.sampling_strategy: "):
        drawn(sampler, strategy, labels=labels)


def test_counts_are_in_order_of_class():
    assert list(count_classes(np.array(["b", "a", "b", "ü"])).items()) == [
        ("a", 1),
        ("b", 2),
        ("ü", 1),
    ]
