"""A behaviour holds where what was seen is what was expected."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.core.behaviours import (
    Behaviour,
    Direction,
    Invariance,
    Minimum,
    judge_direction,
    judge_invariance,
    judge_minimum,
)

FLIP = {"name": "HorizontalFlip", "arguments": {"p": 1.0}}
BEFORE = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9]])
AFTER = np.array([[0.7, 0.3], [0.4, 0.6], [0.1, 0.9], [0.2, 0.8]])


@pytest.mark.parametrize(("allowed", "holds"), [(0.25, True), (0.24, False)])
def test_predictions_may_change_for_so_many(allowed, holds):
    asked = Invariance.model_validate(
        {"type": "invariance", "transform": FLIP, "max_changed_fraction": allowed}
    )
    seen = judge_invariance(asked, BEFORE, AFTER)
    assert seen.measured.value == 0.25 and seen.num_rows == 4
    assert seen.holds == holds
    assert "HorizontalFlip (p: 1)" in seen.behaviour


@pytest.mark.parametrize(("labels", "mean"), [([0, 0, 1, 1], -0.1), ([0, 0, 0, 1], -0.15)])
def test_the_probability_of_the_own_class_goes_one_way(labels, mean):
    for expected in ("up", "down"):
        asked = Direction.model_validate(
            {"type": "direction", "transform": FLIP, "label": None, "expected": expected}
        )
        seen = judge_direction(asked, BEFORE, AFTER, np.array(labels), 0)
        assert seen.measured.value == pytest.approx(mean)
        assert seen.measured.low <= mean <= seen.measured.high
        assert seen.holds == (expected == "down")


def test_nothing_changed_goes_neither_way():
    for expected in ("up", "down"):
        asked = Direction.model_validate(
            {"type": "direction", "transform": FLIP, "label": "a", "expected": expected}
        )
        assert not judge_direction(asked, BEFORE, BEFORE, np.array([0, 0, 1, 1]), 0).holds


@pytest.mark.parametrize(("least", "holds"), [(0.75, True), (0.76, False)])
def test_a_slice_reaches_its_accuracy(least, holds):
    asked = Minimum.model_validate({"type": "minimum", "slice": "all", "min_accuracy": least})
    seen = judge_minimum(asked, np.array([True, True, False, True]))
    assert seen.holds == holds and seen.measured.value == 0.75


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "invariance", "transform": {"name": "Flipp", "arguments": {}},
         "max_changed_fraction": 0.1},
        {"type": "invariance", "transform": FLIP, "max_changed_fraction": 1.5},
        {"type": "direction", "transform": FLIP, "label": None, "expected": "sideways"},
        {"type": "minimum", "slice": "all"},
        {"type": "maximum", "slice": "all", "min_accuracy": 0.5},
    ],
)  # fmt: skip
def test_other_wishes_are_refused(wrong):
    with pytest.raises(ValidationError):
        TypeAdapter(Behaviour).validate_python(wrong)
