"""What is asked of predictions is tried on test rows, and goes with the model."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from expectations.check import refuse_broken
from tasks.core.errors import VerdictError
from tasks.export import Params, check_predictions

PROBABILITIES = np.array([[0.9, 0.1], [0.3, 0.7], [0.55, 0.45]])


def params(*expectations: dict[str, Any]) -> Params:
    values = {
        "opset": 20,
        "max_difference": 1e-4,
        "expectations": list(expectations),
        "variants": [],
        "max_accuracy_loss": 0.01,
        "choice": {"served": "float32", "edge": "float32"},
    }
    return Params.model_validate(values)


def about(column: str, least: float, severity: str = "critical") -> dict[str, Any]:
    return {
        "type": "expectation",
        "name": "ExpectColumnMeanToBeBetween",
        "arguments": {"column": column, "min_value": least, "max_value": None},
        "severity": severity,
    }


ROWS = {"type": "rows_per_class", "least": 2, "most": None, "severity": "warning"}


def tried(*expectations: dict[str, Any]):
    return check_predictions(PROBABILITIES, ["cat", "dog"], params(*expectations).expectations)


def test_who_asks_nothing_waits_for_nothing():
    assert tried() == []


def test_rules_are_tried_on_what_the_model_says_of_test_rows():
    (checked,) = tried(about("confidence", 0.7), about("probability_dog", 0.4), ROWS)
    assert checked.broken() == []
    assert [line.split(":")[1] for line in checked.warnings()] == [
        " ExpectColumnValuesToBeBetween rows_of_class"
    ]
    with pytest.raises(VerdictError, match="ExpectColumnMeanToBeBetween confidence"):
        refuse_broken(*tried(about("confidence", 0.9)))


def test_a_column_that_predictions_lack_is_told_before_the_model_is_anywhere():
    with pytest.raises(VerdictError, match=r"columns are there: missing: \['probability_bird'\]"):
        refuse_broken(*tried(about("probability_bird", 0.1)))


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"type": "freshness"}, "Input tag 'freshness' found"),
        ({**ROWS, "least": None}, "expected least or most"),
        ({**about("confidence", 0.9), "name": "ExpectNothing"}, "has no 'ExpectNothing'"),
    ],
)
def test_a_wrong_rule_is_refused_when_params_are_read(rule, told):
    with pytest.raises(ValidationError, match=told):
        params(rule)
