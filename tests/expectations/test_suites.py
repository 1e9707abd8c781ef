"""Every rule of every suite holds on good rows and fails on rows broken in its way alone."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from expectations.check import check, refuse_broken
from expectations.suites import (
    SPLITS,
    Suite,
    add_asked_columns,
    add_columns_asked_of_splits,
    balanced_suite,
    clean_suite,
    measures_suite,
    predictions_suite,
    raw_suite,
    splits_suite,
)
from tasks.core.errors import VerdictError

CLASSES = ["cat", "dog"]
NUM_ROWS = 6
IDS = [f"id{number}" for number in range(NUM_ROWS)]
LABELS = CLASSES * 3


def raw() -> pd.DataFrame:
    texts = {
        "image_id": IDS,
        "label": [*LABELS[:5], None],
        "group": [None] * NUM_ROWS,
        "split": ["train", "val", "test", None, "train", "train"],
        "path": [f"source/{name} ü.png" for name in IDS],
        "captured_at": [None] * NUM_ROWS,
        "problem": [""] * NUM_ROWS,
        "shard": ["s.parquet"] * NUM_ROWS,
    }
    return pd.DataFrame(texts, dtype="string").assign(row=range(NUM_ROWS))


def measures() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": IDS,
            "width": [1, 8, 8, 8, 8, 20_000],
            "height": [8] * NUM_ROWS,
            "channels": [1, 3] * 3,
            "brightness": [0.1, 0.2, 0.5, 0.6, 0.7, 0.9],
            "contrast": [0.1] * NUM_ROWS,
            "sharpness": [0.0, 0.1, 0.2, 0.3, 0.4, 5.0],
        }
    )


def clean() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": IDS,
            "label": [*LABELS[:5], None],
            "given_label": LABELS,
            "group": [None] * NUM_ROWS,
            "split": [None] * NUM_ROWS,
            "path": IDS,
            "pixel_hash": [f"{number:032x}" for number in range(NUM_ROWS)],
            "shard": ["s"] * NUM_ROWS,
            "row": range(NUM_ROWS),
        }
    )


def splits() -> pd.DataFrame:
    return pd.DataFrame({"image_id": IDS, "label": LABELS, "split": ["train", "val", "test"] * 2})


def rebalanced() -> pd.DataFrame:
    return pd.DataFrame({"image_id": ["id0"] * NUM_ROWS, "label": LABELS, "weight": [0.05, 1] * 3})


def predictions() -> pd.DataFrame:
    confidence = [0.0, 0.5, 0.6, 0.7, 0.8, 1.0]
    return pd.DataFrame({"path": IDS, "label": LABELS, "confidence": confidence})


GOOD: dict[str, tuple[Suite, Callable[[], pd.DataFrame]]] = {
    "raw": (raw_suite(), raw),
    "measures": (measures_suite(0.1, NUM_ROWS), measures),
    "clean": (clean_suite(), clean),
    "splits": (splits_suite(CLASSES), splits),
    "rebalanced": (balanced_suite(CLASSES), rebalanced),
    "predictions": (predictions_suite(CLASSES), predictions),
}
ALL, FIRST = slice(None), 0


def put(column: str, value, where: slice | int = FIRST) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        cells = frame[column].astype(object).tolist()
        at = range(NUM_ROWS)[where] if isinstance(where, slice) else [where]
        for number in at:
            cells[number] = value
        dtype = frame[column].dtype if frame[column].dtype == "string" else None
        return frame.assign(**{column: pd.Series(cells, dtype=dtype)})

    return change


# Suite, how its rows are broken, and the rule and column that must tell.
BROKEN = [
    ("raw", put("image_id", None), "ToNotBeNull image_id"),
    ("raw", put("image_id", "id1"), "ToBeUnique image_id"),
    ("raw", put("path", None), "ToNotBeNull path"),
    ("raw", put("path", "source/id1 ü.png"), "ToBeUnique path"),
    ("raw", put("path", "a\n"), "ToMatchRegex path"),
    ("raw", put("path", "a\0"), "ToMatchRegex path"),
    ("raw", put("path", ""), "ToMatchRegex path"),
    ("raw", put("split", "validation"), "ToBeInSet split"),
    ("raw", put("split", "train\n"), "ToBeInSet split"),
    ("raw", put("label", "cat\n"), "ToMatchRegex label"),
    ("raw", put("label", " cat"), "ToMatchRegex label"),
    ("raw", put("label", "c\tat"), "ToMatchRegex label"),
    ("raw", put("label", ""), "ToMatchRegex label"),
    ("raw", put("label", "cat", ALL), "UniqueValueCountToBeBetween label"),
    ("raw", put("label", None, ALL), "UniqueValueCountToBeBetween label"),
    ("measures", put("image_id", "id1"), "ToBeUnique image_id"),
    ("measures", put("width", 0), "ToBeBetween width"),
    ("measures", put("height", -1), "ToBeBetween height"),
    ("measures", put("channels", 4), "ToBeInSet channels"),
    ("measures", put("brightness", 1.01), "ToBeBetween brightness"),
    ("measures", put("brightness", -0.01), "ToBeBetween brightness"),
    ("measures", put("brightness", "0.5", ALL), "ToBeBetween brightness"),
    ("measures", put("sharpness", -0.1), "ToBeBetween sharpness"),
    ("measures", put("image_id", None), "ToNotBeNull image_id"),
    ("measures", put("width", None), "ToNotBeNull width"),
    ("measures", put("height", None, ALL), "ToNotBeNull height"),
    ("measures", put("channels", None), "ToNotBeNull channels"),
    ("measures", put("brightness", np.nan, ALL), "ToNotBeNull brightness"),
    ("measures", put("contrast", np.nan), "ToNotBeNull contrast"),
    ("measures", put("sharpness", np.nan, ALL), "ToNotBeNull sharpness"),
    ("clean", put("image_id", None), "ToNotBeNull image_id"),
    ("clean", put("image_id", "id1"), "ToBeUnique image_id"),
    ("clean", put("pixel_hash", f"{1:032x}"), "ToBeUnique pixel_hash"),
    ("clean", put("pixel_hash", None, ALL), "ToNotBeNull pixel_hash"),
    ("clean", put("shard", None), "ToNotBeNull shard"),
    ("clean", put("row", -1), "ToBeBetween row"),
    ("clean", put("row", None), "ToNotBeNull row"),
    ("clean", put("label", "cat", ALL), "UniqueValueCountToBeBetween label"),
    ("splits", put("image_id", "id1"), "ToBeUnique image_id"),
    ("splits", put("image_id", None), "ToNotBeNull image_id"),
    ("splits", put("label", None), "ToNotBeNull label"),
    ("splits", put("split", None), "ToNotBeNull split"),
    ("splits", put("label", "cta"), "ToBeInSet label"),
    ("splits", put("split", "unlabelled"), "DistinctValuesToEqualSet split"),
    ("splits", put("split", "train", ALL), "DistinctValuesToEqualSet split"),
    ("rebalanced", put("image_id", None), "ToNotBeNull image_id"),
    ("rebalanced", put("label", None), "ToNotBeNull label"),
    ("rebalanced", put("label", "cta"), "DistinctValuesToEqualSet label"),
    ("rebalanced", put("label", "cat", ALL), "DistinctValuesToEqualSet label"),
    ("rebalanced", put("weight", None), "ToNotBeNull weight"),
    ("rebalanced", put("weight", 0.0), "ToBeBetween weight"),
    ("rebalanced", put("weight", 1.1), "ToBeBetween weight"),
    ("predictions", put("path", None), "ToNotBeNull path"),
    ("predictions", put("label", "fox"), "ToBeInSet label"),
    ("predictions", put("label", "cat\n"), "ToBeInSet label"),
    ("predictions", put("label", None), "ToNotBeNull label"),
    ("predictions", put("confidence", 1.5), "ToBeBetween confidence"),
    ("predictions", put("confidence", -1), "ToBeBetween confidence"),
    ("predictions", put("confidence", np.nan, ALL), "ToNotBeNull confidence"),
]


def short(rule: str) -> str:
    return rule.removeprefix("ExpectColumn").removeprefix("Values")


def broken_rules(name: str, frame: pd.DataFrame) -> list[str]:
    return [
        f"{short(finding.rule)} {finding.column}".strip()
        for finding in check(GOOD[name][0], frame).findings
        if finding.severity == "critical" and not finding.passed
    ]


@pytest.mark.parametrize("name", GOOD)
def test_good_rows_pass_every_rule(name):
    suite, make = GOOD[name]
    checked = check(suite, make())
    assert [finding for finding in checked.findings if not finding.passed] == []
    ran = [finding.rule for finding in checked.findings]
    assert ran[4 : 4 + len(suite.rules)] == [rule.expectation for rule in suite.rules]
    assert checked.broken() == [] and checked.document()["passed"]
    refuse_broken(check(suite, make()))


@pytest.mark.parametrize(("name", "change", "expected"), BROKEN)
def test_rows_broken_in_one_way_break_that_rule(name, change, expected):
    frame = change(GOOD[name][1]())
    assert expected in broken_rules(name, frame)
    with pytest.raises(VerdictError, match=f"suite {name}: "):
        refuse_broken(check(GOOD[name][0], frame))


def test_every_critical_rule_is_broken_somewhere_above():
    told = {(name, expected) for name, _, expected in BROKEN}
    rules = {
        (name, f"{short(rule.expectation)} {rule.arguments['column']}")
        for name, (suite, _) in GOOD.items()
        for rule in suite.rules
        if rule.severity == "critical"
    }
    assert rules - told == set()


@pytest.mark.parametrize("column", ["brightness", "contrast"])
def test_a_warning_is_shown_and_decides_nothing(column):
    checked = check(GOOD["measures"][0], measures().assign(**{column: 0.001}))
    assert checked.broken() == []
    (shown,) = [finding for finding in checked.findings if not finding.passed]
    assert (shown.column, shown.severity, shown.num_unexpected) == (column, "warning", NUM_ROWS)


@pytest.mark.parametrize("label", ["-1", "nan", "None", "?"])
def test_a_mark_for_no_label_is_shown_and_decides_nothing(label):
    checked = check(raw_suite(), put("label", label)(raw()))
    assert checked.broken() == []
    (shown,) = [finding for finding in checked.findings if not finding.passed]
    assert (shown.column, shown.severity, shown.num_unexpected) == ("label", "warning", 1)


@pytest.mark.parametrize(
    ("rejected", "num_rows", "needed"),
    [(0.1, 100, 90), (0.1, 95, 86), (0.0, 7, 7), (0.5, 1, 1), (0.99, 10, 1), (0.1, 0, 1)],
)
def test_the_rows_needed_are_rounded_up(rejected, num_rows, needed):
    assert measures_suite(rejected, num_rows).min_rows == needed


def test_rows_of_a_class_are_counted():
    counted = add_asked_columns(raw())
    assert counted["rows_of_class"].tolist()[:5] == [3, 2, 3, 2, 3]
    assert pd.isna(counted["rows_of_class"].iloc[5])


def test_rows_of_a_class_are_counted_in_each_split_also_where_there_are_none():
    counted = add_columns_asked_of_splits(splits())
    by_split = counted.groupby("label")[[f"rows_of_class_in_{split}" for split in SPLITS]].first()
    assert by_split.to_numpy().tolist() == [[1, 1, 1], [1, 1, 1]]
    table = splits().assign(split=["train", "train", "test", "train", "test", "val"])
    counted = add_columns_asked_of_splits(table)
    by_split = counted.groupby("label")[[f"rows_of_class_in_{split}" for split in SPLITS]].first()
    assert by_split.to_numpy().tolist() == [[1, 0, 2], [2, 1, 0]]
