"""Pairs found through bands are the pairs that comparing all with all finds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core import duplicates
from tasks.core.duplicates import find_duplicates, find_near_pairs, measure_difference


def brute_force(hashes: list[int], max_bits: int) -> set[tuple[int, int]]:
    return {
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (hashes[i] ^ hashes[j]).bit_count() <= max_bits
    }


def found(hashes: list[int], max_bits: int) -> list[tuple[int, int]]:
    pairs = find_near_pairs(np.array(hashes, dtype=np.uint64), max_bits)
    assert pairs.dtype == np.int64 and pairs.shape == (len(pairs), 2)
    return [(int(i), int(j)) for i, j in pairs]


def clustered(rng: np.random.Generator, num_rows: int) -> list[int]:
    """Distinct hashes of which many lie a few bits apart."""
    centres = [int(value) for value in rng.integers(0, 2**64, size=12, dtype=np.uint64)]
    hashes: dict[int, None] = {}
    while len(hashes) < num_rows:
        value = centres[int(rng.integers(len(centres)))]
        for bit in rng.integers(64, size=int(rng.integers(0, 7))):
            value ^= 1 << int(bit)
        hashes[value] = None
    return list(hashes)


@pytest.mark.parametrize("max_bits", range(9))
def test_pairs_of_distinct_hashes_equal_brute_force(max_bits):
    for seed, num_rows in enumerate([0, 1, 2, 20, 90, 200]):
        hashes = clustered(np.random.default_rng(seed), num_rows)
        pairs = found(hashes, max_bits)
        assert len(pairs) == len(set(pairs))
        assert set(pairs) == brute_force(hashes, max_bits)
        if num_rows == 200 and max_bits >= 2:
            assert pairs


@settings(max_examples=150, deadline=None)
@given(
    hashes=st.lists(
        # Few set bits, at both ends and in the middle, so that many are close.
        st.lists(st.sampled_from([0, 1, 2, 7, 8, 21, 31, 32, 62, 63]), max_size=6).map(
            lambda bits: sum({1 << bit for bit in bits})
        ),
        max_size=40,
        unique=True,
    ),
    max_bits=st.integers(0, 16),
)
def test_pairs_equal_brute_force_for_any_distinct_hashes(hashes, max_bits):
    assert set(found(hashes, max_bits)) == brute_force(hashes, max_bits)


@settings(max_examples=100, deadline=None)
@given(hashes=st.lists(st.sampled_from([0, 1, 3, 2**63, 2**64 - 1]), max_size=30))
def test_equal_hashes_are_chained_to_the_first_which_alone_meets_others(hashes):
    first = {value: hashes.index(value) for value in hashes}
    chains = {(first[v], i) for i, v in enumerate(hashes) if first[v] != i}
    assert set(found(hashes, 0)) == chains
    near = {
        tuple(sorted((first[a], first[b])))
        for a in first
        for b in first
        if a != b and (a ^ b).bit_count() <= 2
    }
    assert set(found(hashes, 2)) == chains | near


def test_thousands_of_blank_images_give_a_line_of_pairs():
    assert found([0] * 5000, 3) == [(0, row) for row in range(1, 5000)]


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
