"""What Great Expectations passes without having looked is checked before it is asked."""

import json

import numpy as np
import pandas as pd
import pytest

from expectations.check import check, refuse_broken
from expectations.suites import Rule, Suite
from tasks.core.errors import VerdictError

SUITE = Suite(
    "some",
    ["name", "share"],
    2,
    [
        Rule("ExpectColumnValuesToBeUnique", {"column": "name"}),
        Rule(
            "ExpectColumnValuesToBeBetween", {"column": "share", "min_value": 0, "max_value": None}
        ),
    ],
)
GOOD = pd.DataFrame({"name": ["a", "b", "c"], "share": [0.0, 0.5, 1.0]})


def failed(frame: pd.DataFrame) -> list[str]:
    return [finding.rule for finding in check(SUITE, frame).findings if not finding.passed]


@pytest.mark.parametrize(
    ("frame", "rule"),
    [
        (GOOD.drop(columns="share"), "columns are there"),
        (pd.DataFrame(), "columns are there"),
        (GOOD.rename(columns={"share": "Share"}), "columns are there"),
        (GOOD.iloc[:0], "enough rows"),
        (GOOD.iloc[:1], "enough rows"),
        (GOOD.assign(share=[0.0, np.inf, 1.0]), "numbers are finite"),
        (GOOD.assign(share=[0.0, -np.inf, 1.0]), "numbers are finite"),
        (GOOD.assign(more=[np.inf, 0.0, np.nan]), "numbers are finite"),
        (pd.concat([GOOD, GOOD[["share"]]], axis=1), "columns are named once"),
    ],
)
def test_a_frame_that_rules_would_pass_unseen_is_broken(frame, rule):
    checked = check(SUITE, frame)
    assert rule in failed(frame)
    # No rule was run on what it cannot judge.
    assert len(checked.findings) == 4
    with pytest.raises(VerdictError, match=f"suite some: {rule}: "):
        refuse_broken(check(SUITE, frame))


def test_the_order_of_columns_does_not_matter():
    assert failed(GOOD[["share", "name"]].assign(more="x")) == []


def test_a_broken_rule_shows_its_values():
    checked = check(SUITE, GOOD.assign(name="twice", share=[-1.0, -2.0, 3.0]))
    unique, between = checked.findings[4:]
    assert (unique.passed, unique.column, unique.num_unexpected) == (False, "name", 3)
    assert unique.examples == ["'twice'"] * 3
    assert (between.num_unexpected, between.examples) == (2, ["-1.0", "-2.0"])
    assert between.detail == "expected min_value 0"
    assert checked.broken() == [
        "suite some: ExpectColumnValuesToBeUnique name: expected of every value",
        "suite some: ExpectColumnValuesToBeBetween share: expected min_value 0",
    ]


def test_examples_are_few():
    frame = pd.DataFrame({"name": [f"n{k}" for k in range(50)], "share": -1.0})
    finding = check(SUITE, frame).findings[-1]
    assert (len(finding.examples), finding.num_unexpected) == (5, 50)


def test_a_rule_that_cannot_be_computed_is_broken():
    finding = check(SUITE, GOOD.assign(share=["0.1", "many", "few"])).findings[-1]
    assert not finding.passed and finding.detail


def test_the_document_is_the_same_every_time_and_is_json():
    documents = [check(SUITE, GOOD.assign(share=-1.0)).document() for _ in range(2)]
    assert documents[0] == documents[1]
    assert json.loads(json.dumps(documents[0], allow_nan=False)) == documents[0]
    assert documents[0]["passed"] is False and documents[0]["num_rows"] == 3


def test_the_frame_stays_as_it_was():
    frame = pd.DataFrame({"name": pd.array(["a", None], "string"), "share": [0.5, np.nan]})
    before = frame.copy()
    check(SUITE, frame)
    pd.testing.assert_frame_equal(frame, before)
