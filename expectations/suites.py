"""The suites: each is a list of rules about one table, as a plain function of what is expected.

A rule names a Great Expectations expectation and its arguments. `critical` rules decide a verdict,
`warning` rules are shown.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd

Severity = Literal["critical", "warning"]
SPLITS = ("train", "val", "test")
# What people and programs write where a label is missing.
_NO_LABELS = ["-1", "?", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "none", "null"]
_MEASURES = ["image_id", "width", "height", "channels", "brightness", "contrast", "sharpness"]


class Rule(NamedTuple):
    """`needs_values`: broken where a column that it names has no value at all."""

    expectation: str
    arguments: dict[str, Any]
    severity: Severity = "critical"
    needs_values: bool = False

    def columns(self) -> list[str]:
        """None for a rule about the table as a whole."""
        named = [self.arguments.get(key) for key in ("column", "column_A", "column_B")]
        return [*filter(None, named), *self.arguments.get("column_list", [])]


class Suite(NamedTuple):
    """`columns` must all be there before any rule is tried: rules pass without them. They also pass
    on missing values, so a column that must have none has a rule of its own. `told_apart`: columns
    whose texts people should be able to tell apart; those of rules for unique values are as well.
    """

    name: str
    columns: Sequence[str]
    min_rows: int
    rules: Sequence[Rule]
    told_apart: Sequence[str] = ()


def raw_suite() -> Suite:
    """The index as ingest wrote it."""
    return Suite(
        "raw",
        ["image_id", "label", "group", "split", "path", "captured_at", "problem", "shard", "row"],
        1,
        [
            _not_null("image_id"),
            _unique("image_id"),
            _not_null("path"),
            _unique("path"),
            # Backslashes may be: names that are no UTF-8 are written with them.
            _matches("path", r"\A[^\x00-\x1f]+\Z"),
            Rule("ExpectColumnValuesToBeInSet", {"column": "split", "value_set": list(SPLITS)}),
            Rule(
                "ExpectColumnValuesToMatchRegex",
                {"column": "label", "regex": r"\A\S(?:[^\x00-\x1f]*\S)?\Z"},
            ),
            Rule(
                "ExpectColumnUniqueValueCountToBeBetween",
                {"column": "label", "min_value": 2, "max_value": None},
            ),
            Rule(
                "ExpectColumnValuesToNotBeInSet",
                {"column": "label", "value_set": _NO_LABELS},
                "warning",
            ),
        ],
        told_apart=["label"],
    )


def measures_suite(max_rejected_fraction: float, num_rows: int) -> Suite:
    """What was measured of the images that decoded, out of `num_rows` that came in."""
    needed = max(1, -int(-(1 - max_rejected_fraction) * num_rows // 1))
    return Suite(
        "measures",
        _MEASURES,
        needed,
        [
            *map(_not_null, _MEASURES),
            _unique("image_id"),
            _within("width", 1, None),
            _within("height", 1, None),
            Rule("ExpectColumnValuesToBeInSet", {"column": "channels", "value_set": [1, 3]}),
            _within("brightness", 0, 1),
            _within("sharpness", 0, None),
            _within("brightness", 0.02, 0.98, "warning"),
            _within("contrast", 0.01, None, "warning"),
        ],
    )


def clean_suite(num_classes_at_least: int = 2) -> Suite:
    """The manifest of canonical images."""
    return Suite(
        "clean",
        [
            "image_id",
            "label",
            "given_label",
            "group",
            "split",
            "path",
            "pixel_hash",
            "shard",
            "row",
        ],
        num_classes_at_least,
        [
            _not_null("image_id"),
            _unique("image_id"),
            _not_null("pixel_hash"),
            _unique("pixel_hash"),
            _not_null("shard"),
            _not_null("row"),
            _within("row", 0, None),
            Rule(
                "ExpectColumnUniqueValueCountToBeBetween",
                {"column": "label", "min_value": num_classes_at_least, "max_value": None},
            ),
        ],
    )


def splits_suite(classes: Sequence[str]) -> Suite:
    """One row per image that has a split."""
    return Suite(
        "splits",
        ["image_id", "label", "split"],
        len(SPLITS),
        [
            _not_null("image_id"),
            _unique("image_id"),
            _not_null("label"),
            _not_null("split"),
            Rule("ExpectColumnValuesToBeInSet", {"column": "label", "value_set": list(classes)}),
            Rule(
                "ExpectColumnDistinctValuesToEqualSet",
                {"column": "split", "value_set": list(SPLITS)},
            ),
        ],
    )


def balanced_suite(classes: Sequence[str]) -> Suite:
    """One row per train row as often as it is seen: rows repeat, classes may not vanish."""
    return Suite(
        "rebalanced",
        ["image_id", "label", "weight"],
        len(classes),
        [
            _not_null("image_id"),
            _not_null("label"),
            Rule(
                "ExpectColumnDistinctValuesToEqualSet",
                {"column": "label", "value_set": list(classes)},
            ),
            _not_null("weight"),
            Rule(
                "ExpectColumnValuesToBeBetween",
                {"column": "weight", "min_value": 0, "max_value": 1, "strict_min": True},
            ),
        ],
    )


def predictions_suite(classes: Sequence[str]) -> Suite:
    """One row per prediction."""
    return Suite(
        "predictions",
        ["path", "label", "confidence"],
        1,
        [
            *map(_not_null, ["path", "label", "confidence"]),
            Rule("ExpectColumnValuesToBeInSet", {"column": "label", "value_set": list(classes)}),
            _within("confidence", 0, 1),
        ],
    )


def rows_of_class(split: str | None = None) -> str:
    """The column that holds how many rows have the label of a row, in all or in one split."""
    return "rows_of_class" if split is None else f"rows_of_class_in_{split}"


def day_number(day: str) -> int:
    """The day of a date or moment in ISO 8601: 20260131. Great Expectations takes texts that look
    like dates for dates, and compares them with nothing else."""
    return int(day[:10].replace("-", ""))


def add_asked_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The table with columns that rules of users need, missing where what they tell is missing:
    `rows_of_class` and, where there is `captured_at`, `captured_on`."""
    counts = table["label"].map(table["label"].value_counts()).astype("Int64")
    added = table.assign(**{rows_of_class(): counts})
    if "captured_at" in table:
        days = [None if pd.isna(moment) else day_number(moment) for moment in table["captured_at"]]
        added["captured_on"] = pd.array(days, "Int64")
    return added


def add_columns_asked_of_splits(table: pd.DataFrame) -> pd.DataFrame:
    """The table with such a column for each split."""
    counts = {
        rows_of_class(split): table["label"]
        .map(table.loc[table["split"] == split, "label"].value_counts())
        .fillna(0)
        .astype("int64")
        for split in SPLITS
    }
    return table.assign(**counts)


def _not_null(column: str) -> Rule:
    return Rule("ExpectColumnValuesToNotBeNull", {"column": column})


def _unique(column: str) -> Rule:
    return Rule("ExpectColumnValuesToBeUnique", {"column": column})


def _matches(column: str, regex: str) -> Rule:
    return Rule("ExpectColumnValuesToMatchRegex", {"column": column, "regex": regex})


def _within(
    column: str,
    low: float | None,
    high: float | None,
    severity: Severity = "critical",
) -> Rule:
    return Rule(
        "ExpectColumnValuesToBeBetween",
        {"column": column, "min_value": low, "max_value": high},
        severity,
    )
