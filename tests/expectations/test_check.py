"""What Great Expectations passes without having looked is checked before it is asked."""

import json

import numpy as np
import pandas as pd
import pytest

from expectations.check import Finding, build_expectation, check, refuse_broken
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
    unique, between, _ = checked.findings[4:]
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
    finding = check(SUITE, frame).findings[5]
    assert (len(finding.examples), finding.num_unexpected) == (5, 50)


def test_a_rule_that_cannot_be_computed_is_broken():
    finding = check(SUITE, GOOD.assign(share=["0.1", "many", "few"])).findings[5]
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


def findings(frame: pd.DataFrame, *rules: Rule) -> list[Finding]:
    """What rules alone find, without the preconditions."""
    return check(Suite("some", list(frame.columns), 1, rules), frame).findings[4:]


def rule(name: str, **arguments) -> Rule:
    return Rule(f"ExpectColumnValuesTo{name}", {"column": "name", **arguments}, "warning", True)


@pytest.mark.parametrize(
    "asked",
    [
        rule("BeUnique"),
        rule("BeInSet", value_set=["a"]),
        rule("BeBetween", min_value=0),
        rule("MatchRegex", regex="a"),
    ],
)
@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_column_without_any_value_breaks_a_rule_that_needs_some(asked, missing):
    frame = pd.DataFrame({"name": [missing] * 3})
    (found, *_) = findings(frame, asked)
    assert (found.passed, found.severity, found.num_missing) == (False, "warning", 3)
    assert found.detail == "no value to look at"
    # Great Expectations itself is content.
    assert findings(frame, asked._replace(needs_values=False))[0].passed


@pytest.mark.parametrize("asked", [rule("BeUnique"), rule("BeInSet", value_set=["a", "b"])])
def test_values_that_were_not_looked_at_are_counted(asked):
    found = findings(pd.DataFrame({"name": ["a", None, None, "b"]}), asked)[0]
    assert (found.passed, found.num_missing) == (True, 2)


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (["a.png", "A.png", "b.png"], ["'a.png'", "'A.png'"]),
        (["a.png", "a.png ", "b.png"], ["'a.png'", "'a.png '"]),
        (["a.png", "a.png\n"], ["'a.png'", "'a.png\\n'"]),
        (["\u00e9.png", "e\u0301.png"], ["'\u00e9.png'", "'e\u0301.png'"]),
        (["a.png", "b.png", None, None], []),
        ([1, 2, 3], []),
    ],
)
def test_texts_that_look_alike_are_a_warning_where_they_are_to_be_unique(names, alike):
    frame = pd.DataFrame({"name": names})
    unique, apart = findings(frame, rule("BeUnique"))
    assert unique.passed
    assert (apart.passed, apart.severity, apart.examples) == (not alike, "warning", alike)
    assert apart.num_unexpected == len(alike)
    assert check(Suite("some", ["name"], 1, [rule("BeUnique")]), frame).broken() == []


def test_equal_texts_are_the_business_of_the_rule_itself():
    unique, apart = findings(pd.DataFrame({"name": ["a", "a"]}), rule("BeUnique"))
    assert not unique.passed and apart.passed


def test_a_dollar_lets_a_newline_pass_and_the_end_of_text_does_not():
    frame = pd.DataFrame({"name": ["a.png", "b.png\n"]})
    dollar, end = findings(
        frame, rule("MatchRegex", regex=r"\A.*png$"), rule("MatchRegex", regex=r"\A.*png\Z")
    )
    assert dollar.passed
    assert (end.passed, end.num_unexpected) == (False, 1)


def test_a_rule_about_the_table_sees_all_of_it():
    frame = GOOD.assign(more="x")
    asked = Rule("ExpectTableColumnCountToEqual", {"value": 3})
    named = rule("BeUnique")
    assert [found.passed for found in findings(frame, asked, named)] == [True] * 3
    found = findings(frame, asked._replace(arguments={"value": 2}), named)[0]
    assert not found.passed and found.column == ""


def test_a_rule_about_some_rows_sees_the_column_that_chooses_them():
    condition = {"row_condition": 'more == "y"', "condition_parser": "pandas"}
    frame = GOOD.assign(more=["x", "y", "y"], name=["b", "a", "a"])
    found = findings(frame, rule("BeInSet", value_set=["a"], **condition))[0]
    assert found.passed
    assert not findings(frame.assign(more="y"), rule("BeInSet", value_set=["a"], **condition))[0][3]


def test_a_rule_about_two_columns_names_both():
    arguments = {"column_A": "a", "column_B": "b", "or_equal": True}
    asked = Rule("ExpectColumnPairValuesAToBeGreaterThanB", arguments)
    found = findings(pd.DataFrame({"a": [2, 3], "b": [1, 4]}), asked)[0]
    assert (found.passed, found.column, found.num_unexpected) == (False, "a, b", 1)


def test_arguments_that_an_expectation_does_not_take_are_told_in_a_line():
    with pytest.raises(ValueError, match=r"^1 validation error for .*nonsense extra [^\n]*$"):
        build_expectation(rule("BeUnique", nonsense=1))
