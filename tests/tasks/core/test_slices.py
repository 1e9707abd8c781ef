"""Slices hold the rows that their names say, and numbers of them are those of their rows."""

import numpy as np
import pandas as pd
import pytest

from tasks.core.slices import (
    list_members,
    measure_slices,
    split_column,
    split_confidence,
    split_rows,
)

TRAITS = pd.DataFrame(
    {
        "light": [0.05, 0.2, 0.5, 0.8, 0.95, np.nan],
        "width": pd.array([8, 8, 8, 8, 8, 8], "Int64"),
        "group": pd.array(["a", "b", "a", None, "b", "c"], "string"),
        "is_scan": [True, False, True, True, False, False],
    }
)
TAUGHT = pd.DataFrame(
    {
        "light": np.linspace(0, 1, 101),
        "width": pd.array([8] * 101, "Int64"),
        "group": pd.array(["a"] * 101, "string"),
        "is_scan": [True] * 101,
    }
)


def rows_of(slices):
    return {name: np.flatnonzero(rows).tolist() for name, rows in slices.items()}


def test_numbers_are_cut_where_the_tails_of_train_begin():
    found = rows_of(split_column(TRAITS["light"], TAUGHT["light"], 0.1))
    assert found == {"light=low": [0], "light=middle": [1, 2, 3], "light=high": [4]}
    assert split_column(TRAITS["light"], TAUGHT["light"][:0], 0.1) == {}


def test_other_columns_have_a_slice_for_each_value():
    found = rows_of(split_column(TRAITS["group"], TAUGHT["group"], 0.1))
    assert found == {"group=a": [0, 2], "group=b": [1, 4], "group=c": [5]}
    found = rows_of(split_column(TRAITS["is_scan"], TAUGHT["is_scan"], 0.1))
    assert found == {"is_scan=False": [1, 4, 5], "is_scan=True": [0, 2, 3]}


def test_slices_of_all_rows_or_of_few_are_left_out():
    found = split_rows(TRAITS, TAUGHT, 0.1, 2)
    assert list(found) == [
        "light=middle", "group=a", "group=b", "is_scan=False", "is_scan=True",
    ]  # fmt: skip
    members = list_members(found, np.array(list("uvwxyz"), dtype=object))
    assert members[members["slice"] == "group=b"]["image_id"].tolist() == ["v", "y"]
    assert len(members) == sum(int(rows.sum()) for rows in found.values())
    assert list(list_members({}, np.array(["u"], dtype=object))) == ["image_id", "slice"]


def test_every_confidence_is_in_one_slice():
    confidence = np.array([0.1, 0.5, 0.7, 0.8, 0.95, 1.0])
    counts = sum(rows.astype(int) for rows in split_confidence(confidence).values())
    assert np.array(counts).tolist() == [1] * 6


def test_numbers_are_of_the_rows_within():
    is_right = np.array([True, False, True, True, False, False])
    confidence, losses = np.linspace(0.5, 1, 6), np.arange(6.0)
    inside = np.array([True, True, False, False, False, True])
    nobody = np.zeros(6, dtype=bool)
    (one,) = measure_slices({"x": inside, "none": nobody}, is_right, confidence, losses)
    assert one["slice"] == "x" and one["num_rows"] == 3
    assert one["accuracy"].value == pytest.approx(1 / 3)
    assert one["others_accuracy"] == pytest.approx(2 / 3)
    assert one["log_loss"] == pytest.approx((0 + 1 + 5) / 3)
    assert one["confidence"] == pytest.approx(confidence[[0, 1, 5]].mean())
