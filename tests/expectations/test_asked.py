"""What users ask for is checked when it is read, and judges as they meant."""

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter, ValidationError

from expectations.asked import (
    BalancedRule,
    MeasuresRule,
    RowsRule,
    SplitsRule,
    expectation_names,
    extend,
)
from expectations.check import check
from expectations.suites import Suite, add_asked_columns, add_columns_asked_of_splits

KINDS: dict[str, TypeAdapter] = {
    "rows": TypeAdapter(RowsRule),
    "measures": TypeAdapter(MeasuresRule),
    "splits": TypeAdapter(SplitsRule),
    "rebalanced": TypeAdapter(BalancedRule),
}
LABELS = {"type": "allowed_labels", "labels": ["cat", "dog"], "severity": "critical"}
ROWS = {"type": "rows_per_class", "least": 2, "most": 3, "severity": "warning"}
SIZES = {"type": "resolution", "least": 8, "most": 64, "severity": "critical"}
FRESH = {
    "type": "freshness",
    "oldest": "2025-01-01",
    "newest": "2025-06-30",
    "severity": "warning",
}
NAMED = {
    "type": "expectation",
    "name": "ExpectColumnMeanToBeBetween",
    "arguments": {"column": "share", "min_value": 0.2, "max_value": 0.4},
    "severity": "warning",
}


def judged(table: str, rule: dict[str, Any], **columns) -> tuple[bool, int]:
    """Whether the rule's last finding holds, and how many values break it."""
    frame = pd.DataFrame(columns)
    if table == "rows":
        frame = frame.assign(label=columns.get("label"))
        frame = add_asked_columns(frame)
    if "split" in frame:
        frame = add_columns_asked_of_splits(frame)
    asked = KINDS[table].validate_python(rule)
    checked = check(extend(Suite("mine", [], 1, []), [asked]), frame)
    found = checked.findings[4:]
    assert all(finding.severity == rule["severity"] for finding in found)
    return all(finding.passed for finding in found), sum(one.num_unexpected for one in found)


@pytest.mark.parametrize(
    ("rule", "columns", "expected"),
    [
        (LABELS, {"label": ["cat", "dog", None]}, (True, 0)),
        (LABELS, {"label": ["cat", "Dog", "dog\n"]}, (False, 2)),
        (LABELS, {"label": [None, None]}, (False, 0)),
        (ROWS, {"label": ["cat"] * 2 + ["dog"] * 3 + [None]}, (True, 0)),
        (ROWS, {"label": ["cat"] * 4 + ["dog"] * 1}, (False, 5)),
        (ROWS | {"most": None}, {"label": ["cat"] * 4 + ["dog"] * 1}, (False, 1)),
        (FRESH, {"captured_at": ["2025-01-01T00:00:00+00:00", None]}, (True, 0)),
        (FRESH, {"captured_at": ["2025-06-30T23:59:59+00:00"]}, (True, 0)),
        (FRESH, {"captured_at": ["2024-12-31T23:59:59+00:00"]}, (False, 1)),
        (FRESH, {"captured_at": ["2025-07-01T00:00:00+00:00"]}, (False, 1)),
        (FRESH, {"captured_at": [None, None]}, (False, 0)),
        (NAMED, {"share": [0.1, 0.5]}, (True, 0)),
        (NAMED, {"share": [0.5, 0.5]}, (False, 0)),
        (NAMED, {"share": [np.nan, np.nan]}, (False, 0)),
    ],
)
def test_rows_are_judged_as_asked(rule, columns, expected):
    assert judged("rows", rule, **columns) == expected


def test_both_sides_are_judged():
    assert judged("measures", SIZES, width=[8, 64], height=[64, 8]) == (True, 0)
    assert judged("measures", SIZES, width=[7, 64], height=[65, 65]) == (False, 3)


def test_a_class_that_a_split_lacks_has_no_rows_there():
    table = {"label": ["cat", "cat", "dog", "dog"], "split": ["train", "val", "train", "train"]}
    rule = {**ROWS, "least": 1, "most": None}
    assert judged("splits", rule | {"split": "train"}, **table) == (True, 0)
    assert judged("splits", rule | {"split": "val"}, **table) == (False, 2)


def test_a_column_that_is_not_there_is_told_before_any_rule():
    asked = KINDS["rows"].validate_python(NAMED)
    frame = pd.DataFrame({"shares": [0.3]})
    checked = check(extend(Suite("mine", ["shares"], 1, []), [asked]), frame)
    assert checked.broken() == ["suite mine: columns are there: missing: ['share']"]


def test_a_suite_keeps_its_rules():
    suite = Suite("mine", ["share"], 1, [])
    asked = [KINDS["rows"].validate_python(rule) for rule in (NAMED, LABELS)]
    extended = extend(extend(suite, asked[:1]), asked[1:])
    assert extended == extend(suite, asked)
    assert list(extended.columns) == ["share", "label"]
    assert suite.rules == []


@pytest.mark.parametrize(
    ("table", "rule", "told"),
    [
        ("rows", {**LABELS, "labels": []}, "at least 1 item"),
        ("rows", {**LABELS, "labels": ["cat "]}, "expected 'cat', in Unicode's composed form"),
        ("rows", {**LABELS, "labels": ["e\u0301"]}, "expected 'é', in Unicode's composed form"),
        ("rows", {**LABELS, "severity": "bad"}, "Input should be 'critical' or 'warning'"),
        ("rows", {**LABELS, "type": "allowed_label"}, "Input tag 'allowed_label' found"),
        ("rows", {**ROWS, "least": None, "most": None}, "expected least or most"),
        ("rows", {**ROWS, "least": 4}, "least 4 exceeds most 3"),
        ("rows", {**ROWS, "least": 0}, "greater than 0"),
        ("rows", {**FRESH, "oldest": "yesterday"}, "expected a day as "),
        ("rows", {**FRESH, "newest": "2025-02-30"}, "expected a day as "),
        ("rows", {**FRESH, "newest": "2024-01-01"}, "exceeds newest 2024-01-01"),
        ("rows", {**FRESH, "oldest": None, "newest": None}, "expected oldest or newest"),
        ("rows", SIZES, "Input tag 'resolution' found"),
        ("measures", FRESH, "Input tag 'freshness' found"),
        ("splits", ROWS, "Field required"),
        ("rebalanced", {**ROWS, "split": "val"}, "Extra inputs are not permitted"),
        ("rows", {**NAMED, "name": "ExpectColumnMeanToBeBetwen"}, "has no 'ExpectColumnMeanToBe"),
        ("rows", {**NAMED, "name": "Expectation"}, "has no 'Expectation'"),
        ("rows", {**NAMED, "arguments": {"column": "a", "min": 3}}, "min extra fields not"),
        ("rows", {**NAMED, "arguments": {"min_value": 3}}, "column field required"),
        ("rows", {**NAMED, "arguments": {"column": "a", "meta": {}}}, r"\['meta'\] are no arg"),
    ],
)
def test_a_slip_is_told_when_it_is_read(table, rule, told):
    with pytest.raises(ValidationError, match=told):
        KINDS[table].validate_python(rule)


def matching(regex: str) -> dict:
    arguments = {"column": "a", "regex": regex}
    return {**NAMED, "name": "ExpectColumnValuesToMatchRegex", "arguments": arguments}


@pytest.mark.parametrize("regex", [r"png$", r"^a$|b\Z", r"[$]x$", r"\\$", r"[]$]$"])
def test_a_dollar_that_would_let_a_newline_pass_is_refused(regex):
    with pytest.raises(ValidationError, match="also matches before a newline"):
        KINDS["rows"].validate_python(matching(regex))
    arguments = {"column": "a", "regex_list": ["a", regex]}
    rule = {**NAMED, "name": "ExpectColumnValuesToMatchRegexList", "arguments": arguments}
    with pytest.raises(ValidationError, match="also matches before a newline"):
        KINDS["rows"].validate_python(rule)


@pytest.mark.parametrize("regex", [r"png\Z", r"\$", r"[$]", r"[^$]\Z", r"[]$]", r"[\]$]"])
def test_other_dollars_are_not(regex):
    KINDS["rows"].validate_python(matching(regex))


def test_names_are_those_that_great_expectations_has():
    import great_expectations as gx

    has = {name for name in dir(gx.expectations) if name.startswith("Expect")} - {"Expectation"}
    assert expectation_names() == has


def test_a_slip_in_a_name_is_told_without_the_import():
    script = (
        "import sys; from pydantic import TypeAdapter; from expectations.asked import RowsRule\n"
        f"try: TypeAdapter(RowsRule).validate_python({ {**NAMED, 'name': 'ExpectNothing'} })\n"
        "except ValueError as error: print('ExpectNothing' in str(error))\n"
        "print('great_expectations' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "False"]
