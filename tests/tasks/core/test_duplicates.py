"""Of images with equal pixels one stays, and which one does not depend on their order."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core import duplicates
from tasks.core.duplicates import find_duplicates, measure_difference


def manifest(*rows: tuple[str, str | None, str | None, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["image_id", "label", "split", "pixel_hash"])


def twins(frame: pd.DataFrame) -> list[tuple]:
    return list(find_duplicates(frame).itertuples(index=False, name=None))


@pytest.mark.parametrize("dtype", [object, "string"])
def test_held_out_copies_stay_then_the_first_by_id(dtype):
    frame = manifest(
        ("a", "cat", "train", "x"),
        ("b", "cat", "val", "x"),
        ("c", "cat", "test", "x"),
        ("d", "cat", "train", "y"),
        ("e", "cat", "train", "y"),
        ("f", "cat", None, "z"),
        ("g", "cat", "train", "z"),
        ("h", "cat", "train", "alone"),
    ).astype(dtype)
    assert twins(frame) == [
        ("a", "c", False),
        ("b", "c", False),
        ("e", "d", False),
        ("f", "g", False),
    ]


def test_copies_of_other_labels_are_a_conflict():
    frame = manifest(("a", "cat", None, "x"), ("b", "dog", None, "x"), ("c", "cat", None, "x"))
    assert twins(frame) == [("b", "a", True), ("c", "a", False)]


@pytest.mark.parametrize("dtype", [object, "string"])
def test_a_labelled_copy_stays_before_an_unlabelled_one_without_a_conflict(dtype):
    frame = manifest(("a", None, "test", "x"), ("b", "dog", "train", "x")).astype(dtype)
    assert twins(frame) == [("a", "b", False)]


def test_no_rows_have_no_twins():
    assert twins(manifest()) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["cat", "dog", None]),
            st.sampled_from(["train", "val", "test", None]),
            st.sampled_from("xyz"),
        ),
        max_size=12,
    )
)
def test_one_row_of_each_pixel_hash_stays_whatever_the_order(rows):
    frame = manifest(*[(f"{n:02}", *row) for n, row in enumerate(rows)])
    dropped = find_duplicates(frame)
    stay = frame[~frame["image_id"].isin(dropped["image_id"])]
    assert sorted(stay["pixel_hash"]) == sorted(set(frame["pixel_hash"]))
    assert set(dropped["twin_id"]) <= set(stay["image_id"])
    pd.testing.assert_frame_equal(find_duplicates(frame.iloc[::-1]), dropped)


def test_the_difference_of_pixels_is_their_mean_of_a_range_of_1(monkeypatch):
    monkeypatch.setattr(duplicates, "_CHUNK", 2)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
    pairs = np.array([[0, 1], [2, 2], [5, 3], [1, 0], [4, 0]])
    expected = [np.abs(pixels[i] / 255 - pixels[j] / 255).mean() for i, j in pairs]
    np.testing.assert_allclose(measure_difference(pixels, pairs), expected)
    assert measure_difference(pixels, pairs[:0]).shape == (0,)
