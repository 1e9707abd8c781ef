"""The suites: each is a list of rules about one table, as a plain function of what is expected.

A rule names a Great Expectations expectation and its arguments. `critical` rules decide a verdict,
`warning` rules are shown.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

SPLITS = ("train", "val", "test")
# What people and programs write where a label is missing.
_NO_LABELS = ["-1", "?", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "none", "null"]
_MEASURES = ["image_id", "width", "height", "channels", "brightness", "contrast", "sharpness"]


class Rule(NamedTuple):
    expectation: str
    arguments: dict[str, Any]
    severity: Literal["critical", "warning"] = "critical"


class Suite(NamedTuple):
    """`columns` must all be there before any rule is tried: rules pass without them. They also pass
    on missing values, so a column that must have none has a rule of its own."""

    name: str
    columns: Sequence[str]
    min_rows: int
    rules: Sequence[Rule]


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
    severity: Literal["critical", "warning"] = "critical",
) -> Rule:
    return Rule(
        "ExpectColumnValuesToBeBetween",
        {"column": column, "min_value": low, "max_value": high},
        severity,
    )
