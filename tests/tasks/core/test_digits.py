"""The digits and the faults planted among them: in train rows alone, counted, repeatable."""

import io
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from sklearn.datasets import load_digits

from tasks.core.digits import Digit, Faults, make_digits

NONE = {
    "truncated_fraction": 0.0,
    "duplicate_fraction": 0.0,
    "wrong_label_fraction": 0.0,
    "thinned": {},
    "seed": 0,
}


@cache
def digits(**changed) -> tuple[Digit, ...]:
    return tuple(make_digits(Faults(**{**NONE, **changed}) if changed else None))


def faulty(**changed) -> tuple[Digit, ...]:
    fractions = {
        "truncated_fraction": 0.02,
        "duplicate_fraction": 0.03,
        "wrong_label_fraction": 0.05,
    }
    return digits(**{**fractions, **changed})


def pixels(digit: Digit) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(digit.data)))


def test_clean_digits_are_scikit_learns():
    bunch: Any = load_digits()
    clean = digits()
    assert len(clean) == 1797
    assert [digit.path for digit in clean] == sorted(digit.path for digit in clean)
    for digit in clean:
        number = int(digit.path.removesuffix(".png"))
        assert digit.label == digit.true_label == str(bunch.target[number])
        levels = np.round(pixels(digit) * (16 / 255))
        assert (levels == bunch.images[number]).all()
        assert digit.fault == ""


def test_the_splits_approach_their_shares():
    counts = Counter(digit.split for digit in digits())
    share = {split: count / 1797 for split, count in counts.items()}
    assert share == pytest.approx({"train": 0.6, "val": 0.15, "test": 0.25}, abs=0.04)


def test_equal_pixels_share_a_split():
    splits = {}
    for digit in digits():
        splits.setdefault(pixels(digit).tobytes(), set()).add(digit.split)
    assert all(len(each) == 1 for each in splits.values())


def test_no_fault_leaves_train():
    clean = {digit.path: digit for digit in digits()}
    for digit in faulty():
        if digit.split != "train":
            assert digit == clean[digit.path]
            assert digit.fault == ""
    held_out = [digit for digit in digits() if digit.split != "train"]
    assert set(held_out) <= set(faulty())


def test_the_counts_are_those_asked_for():
    num_train = sum(digit.split == "train" for digit in digits())
    counts = Counter(digit.fault for digit in faulty())
    assert counts["truncated"] == round(0.02 * num_train)
    assert counts["duplicate"] == round(0.03 * num_train)
    assert counts["wrong_label"] == round(0.05 * num_train)
    assert len(faulty()) == 1797 + counts["duplicate"]


def test_each_row_bears_one_fault_at_most():
    clean = {digit.path: digit for digit in digits()}
    originals = [digit.path.replace("-copy", "") for digit in faulty() if digit.fault]
    assert len(originals) == len(set(originals))
    for digit in faulty():
        before = clean[digit.path.replace("-copy", "")]
        assert digit.true_label == before.label
        if digit.fault == "truncated":
            assert digit.label == before.label
            assert before.data.startswith(digit.data) and len(digit.data) < len(before.data)
            with pytest.raises(OSError, match="truncated"):
                Image.open(io.BytesIO(digit.data)).load()
        elif digit.fault == "wrong_label":
            assert digit.data == before.data
            assert digit.label != digit.true_label
        elif digit.fault == "duplicate":
            assert digit.data != before.data
            assert (pixels(digit) == pixels(before)).all()
        else:
            assert digit == before


def test_the_seed_decides():
    fractions = {"truncated_fraction": 0.02, "wrong_label_fraction": 0.05}
    faults = Faults(**{**NONE, **fractions})
    assert make_digits(faults) == make_digits(faults)
    assert make_digits(faults) != make_digits(faults.model_copy(update={"seed": 1}))


def test_a_thinned_class_keeps_its_share_in_train_alone():
    def counts(rows, split):
        return Counter(digit.label for digit in rows if digit.split == split)

    thinned = make_digits(Faults(**{**NONE, "thinned": {"8": 0.4, "1": 1.0}}))
    before, after = counts(digits(), "train"), counts(thinned, "train")
    assert after["8"] / before["8"] == pytest.approx(0.4, abs=0.12)
    assert {k: v for k, v in after.items() if k != "8"} == {
        k: v for k, v in before.items() if k != "8"
    }
    for split in ("val", "test"):
        assert counts(thinned, split) == counts(digits(), split)


def test_all_rows_may_bear_a_fault_when_the_shares_ask_for_it():
    rows = faulty(truncated_fraction=0.5, duplicate_fraction=0.0, wrong_label_fraction=0.5)
    train = [digit for digit in rows if digit.split == "train"]
    # Rounding a half twice may miss one row.
    assert sum(digit.fault == "" for digit in train) <= 1


@pytest.mark.parametrize(
    "wrong",
    [{"truncated_fraction": 0.6}, {"duplicate_fraction": -0.1}, {"thinned": {"8": 0}},
     {"thinned": {"8": 1.5}}, {"seed": -1}, {"seed": 0.5}, {"extra": 1}],
)  # fmt: skip
def test_shares_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        Faults(**{**NONE, **wrong})


@pytest.mark.parametrize("label", ["11", "-1", "eight", "", " 8", "8\n", "٣"])
def test_a_class_that_no_digit_has_cannot_be_thinned(label):
    with pytest.raises(ValidationError, match=r"match pattern '\^\[0-9\]\$'"):
        Faults(**{**NONE, "thinned": {label: 0.5}})
