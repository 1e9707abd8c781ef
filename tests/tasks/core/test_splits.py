"""A row's split comes from the row itself: no other row, whenever it comes, moves it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.errors import SplitError
from tasks.core.splits import Fractions, assign_splits, check_classes, find_leaks

FRACTIONS = Fractions(val=0.15, test=0.2)
COLUMNS = ["label", "split", "group", "perceptual_hash"]

labels = st.sampled_from(["cat", "dog", "dog\n", "", None])
groups = st.one_of(st.none(), st.sampled_from(["", "g1", "g2", "g3", "patient 7", "ü"]))
hashes = st.integers(0, 40).map("{:016x}".format)


def rows(splits, **sizes):
    return st.lists(st.tuples(labels, splits, groups, hashes), **sizes)


def manifest(listed, dtype=object) -> pd.DataFrame:
    return pd.DataFrame(listed, columns=COLUMNS, dtype=dtype)


def assigned(listed, dtype=object, fractions=FRACTIONS) -> list[str]:
    splits = assign_splits(manifest(listed, dtype), fractions)
    assert splits.notna().all()
    return splits.tolist()


@st.composite
def earlier_and_later(draw):
    given_splits = draw(st.lists(st.sampled_from(["train", "val", "test", None]), min_size=1))
    earlier = draw(rows(st.sampled_from(given_splits), min_size=1, max_size=15))
    already_there = sorted({row[1] for row in earlier} | {None}, key=str)
    return earlier, draw(rows(st.sampled_from(already_there), max_size=15))


@settings(max_examples=200, deadline=None)
@given(earlier_and_later(), st.sampled_from([object, "string"]))
def test_appended_rows_move_no_earlier_row(both, dtype):
    earlier, later = both
    assert assigned(earlier + later, dtype)[: len(earlier)] == assigned(earlier, dtype)


@settings(max_examples=60, deadline=None)
@given(rows(st.sampled_from(["train", "val", "test", None]), max_size=20), st.randoms())
def test_the_order_of_rows_does_not_matter(listed, random):
    order = list(range(len(listed)))
    random.shuffle(order)
    splits = assigned(listed)
    assert assigned([listed[i] for i in order]) == [splits[i] for i in order]


@settings(max_examples=100, deadline=None)
@given(rows(st.none(), max_size=30))
def test_groups_and_equal_hashes_never_straddle(listed):
    homes: dict[str, set[str]] = {}
    for (label, _, group, image_hash), split in zip(listed, assigned(listed), strict=True):
        if label is None:
            assert split == "unlabelled"
        else:
            key = f"hash {image_hash}" if group is None else f"group {group}"
            homes.setdefault(key, set()).add(split)
    assert all(len(splits) == 1 for splits in homes.values())


@settings(max_examples=100, deadline=None)
@given(rows(st.sampled_from(["train", "val", "test"]), min_size=1, max_size=20))
def test_given_splits_are_kept_where_all_three_are_given(listed):
    three = [("cat", split, None, "0" * 16) for split in ("train", "val", "test")]
    for row, split in zip(listed + three, assigned(listed + three), strict=True):
        assert split == ("unlabelled" if row[0] is None else row[1])


def many(split) -> list[tuple]:
    return [("cat", split, None, f"{number:016x}") for number in range(4000)]


def shares(splits: list[str]) -> dict[str, float]:
    return {split: splits.count(split) / len(splits) for split in ("train", "val", "test")}


def test_fractions_are_approached():
    expected = {"train": 0.65, "val": 0.15, "test": 0.2}
    assert shares(assigned(many(None))) == pytest.approx(expected, abs=0.02)
    expected = {"train": 0.2, "val": 0.5, "test": 0.3}
    fractions = Fractions(val=0.5, test=0.3)
    assert shares(assigned(many(None), fractions=fractions)) == pytest.approx(expected, abs=0.025)


def test_a_split_that_nobody_gave_is_cut_out_of_train():
    test = [("cat", "test", None, f"{number:016x}") for number in range(5000, 5500)]
    splits = assigned(many("train") + test)
    assert splits[4000:] == ["test"] * 500
    expected = {"train": 0.85, "val": 0.15, "test": 0}
    assert shares(splits[:4000]) == pytest.approx(expected, abs=0.02)
    val = [("cat", "val", None, "0" * 16)]
    assert set(assigned(many("train") + test + val)[:4000]) == {"train"}


def test_held_out_rows_grow_when_their_fraction_does():
    def held_out(test):
        splits = assigned(many(None), fractions=Fractions(val=0.1, test=test))
        return {number for number, split in enumerate(splits) if split == "test"}

    assert held_out(0.1) < held_out(0.2) < held_out(0.4)


def test_a_group_is_not_mistaken_for_a_hash():
    image_hash = f"{3:016x}"
    names = [f"{number:016x}" for number in range(64)]
    by_group = assigned([("cat", None, name, image_hash) for name in names])
    by_hash = assigned([("cat", None, None, name) for name in names])
    assert by_group != by_hash


def leaks(splits: list[str], pairs: list[tuple[int, int]]) -> list[tuple]:
    frame = pd.DataFrame({"image_id": [f"i{n}" for n in range(len(splits))]})
    found = find_leaks(
        frame, pd.Series(splits, dtype="string"), np.array(pairs, dtype=np.int64).reshape(-1, 2)
    )
    assert list(found.columns) == ["image_id", "split", "twin_id", "twin_split"]
    return list(found.itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("one", "other", "leaves"),
    [
        ("train", "test", "train"),
        ("train", "val", "train"),
        ("val", "test", "val"),
        ("unlabelled", "test", "unlabelled"),
        ("unlabelled", "val", "unlabelled"),
    ],
)
def test_a_leak_names_the_side_to_leave_out(one, other, leaves):
    stays = other if leaves == one else one
    assert leaks([one, other], [(0, 1)]) == [("i0", leaves, "i1", stays)]
    assert leaks([other, one], [(0, 1)]) == [("i1", leaves, "i0", stays)]


@pytest.mark.parametrize(
    ("one", "other"),
    [("train", "train"), ("test", "test"), ("val", "val"), ("train", "unlabelled")],
)
def test_twins_on_one_side_are_no_leak(one, other):
    assert leaks([one, other], [(0, 1)]) == []


def test_no_pairs_are_no_leaks():
    assert leaks(["train", "test"], []) == []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_without_the_named_rows_nothing_leaks(data):
    splits = data.draw(
        st.lists(st.sampled_from(["train", "val", "test", "unlabelled"]), min_size=2, max_size=12)
    )
    index = st.integers(0, len(splits) - 1)
    pairs = data.draw(
        st.lists(st.tuples(index, index).filter(lambda p: p[0] < p[1]), unique=True, max_size=20)
    )
    left_out = {row[0] for row in leaks(splits, pairs)}
    kept = [(i, j) for i, j in pairs if f"i{i}" not in left_out and f"i{j}" not in left_out]
    assert leaks(splits, kept) == []
    # Nothing that judges is lost to what merely learns.
    assert all(row[1] != "test" for row in leaks(splits, pairs))


def test_complete_classes_pass():
    check_classes(["a", "a", "a", "b", "b"], ["train", "val", "test", "train", "test"])


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([("b", "train"), ("b", "val")], "'b' has 1 train, 1 val, 0 test"),
        ([("b", "test")], "'b' has 0 train, 0 val, 1 test"),
        ([("b", "val"), ("b", "val")], "'b' has 0 train, 2 val, 0 test"),
    ],
)
def test_a_class_without_train_or_test_rows_is_told_with_its_counts(listed, message):
    complete = [("a", "train"), ("a", "val"), ("a", "test")]
    found, splits = zip(*(complete + listed), strict=True)
    with pytest.raises(SplitError, match=message) as caught:
        check_classes(found, splits)
    assert "'a'" not in str(caught.value)


def test_nothing_held_out_for_val_is_told():
    with pytest.raises(SplitError, match="no row is held out for val"):
        check_classes(["a", "a"], ["train", "test"])


def test_no_labelled_rows_are_told():
    with pytest.raises(SplitError):
        check_classes([], [])
