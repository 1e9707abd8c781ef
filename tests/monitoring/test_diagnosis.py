"""What changed is named with its group, and what did not hardly ever."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from monitoring.diagnosis import find_causes, in_words
from tests.monitoring.planted import a_reference, a_window

COLUMNS = ["brightness", "contrast", "group", "width"]


def causes(rate: float = 0.05, **changed: Any):
    window = a_window(600, seed=4, **changed)
    return find_causes(a_reference(), window, COLUMNS, rate)


def test_darker_images_of_one_group_are_found() -> None:
    (cause,) = causes(darker=0.2, only_group="7")
    assert (cause.column, cause.group) == ("brightness", "group is 7")
    assert in_words([cause]).startswith("darker images (median ")
    assert in_words([cause]).endswith(" where group is 7")


def test_what_befell_all_groups_is_blamed_on_none() -> None:
    (cause,) = causes(darker=0.2)
    assert cause.group == ""
    (cause,) = causes(darker=-0.2)
    assert cause.text.startswith("brighter images")


def test_p_values_and_effects_are_those_of_the_tests_named() -> None:
    reference, window = a_reference(), a_window(600, seed=4, darker=0.02)
    window = window.assign(group=window["group"].mask(window["brightness"] < 0.45, "8"))
    found = {one.column: one for one in find_causes(reference, window, COLUMNS, 0.999)}
    tested: Any = ks_2samp(reference["brightness"], window["brightness"], method="asymp")
    assert found["brightness"].p_value == pytest.approx(tested.pvalue)
    assert found["brightness"].effect == pytest.approx(tested.statistic)
    counts = [table["group"].value_counts().reindex(list("5678"), fill_value=0)
              for table in (reference, window)]  # fmt: skip
    table: Any = chi2_contingency(counts, correction=False)
    assert found["group"].p_value == pytest.approx(table.pvalue)
    shares = [one / one.sum() for one in counts]
    assert found["group"].effect == pytest.approx(abs(shares[0] - shares[1]).sum() / 2)
    assert found["group"].text.startswith("more rows where group is 8 (")


def test_columns_that_did_not_change_are_seldom_named() -> None:
    rng = np.random.default_rng(0)
    names = [f"measure {number}" for number in range(20)]
    named = 0
    for _ in range(40):
        before, now = (
            pd.DataFrame(rng.normal(size=(count, 20)), columns=names) for count in (300, 150)
        )
        named += bool(find_causes(before, now, names, 0.05))
    # All are unchanged, so that the share of windows with a false name is the rate.
    assert named / 40 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)


@pytest.mark.parametrize(
    "cells",
    [
        [None] * 50, [np.nan] * 50, [np.inf] * 50, [1.0] * 50, [True, False] * 25,
        [f"row {number}" for number in range(50)], [[1.0, 2.0]] * 50, ["<b>"] * 50, [b"x"] * 50,
    ],
)  # fmt: skip
def test_columns_that_cannot_be_compared_are_passed_over(cells: list[Any]) -> None:
    before = pd.DataFrame({"a": cells * 2})
    assert find_causes(before, pd.DataFrame({"a": cells}), ["a"], 0.05) == []


def test_a_column_of_another_type_is_no_measure() -> None:
    before, now = pd.DataFrame({"a": [0.1, 0.2] * 50}), pd.DataFrame({"a": ["x", "y"] * 25})
    assert find_causes(before, now, ["a"], 0.05) == []


def test_many_columns_are_counted_not_listed() -> None:
    rng = np.random.default_rng(0)
    names = list("abcdef")
    before = pd.DataFrame(rng.normal(size=(200, 6)), columns=names)
    found = find_causes(before, before + 3, names, 0.05)
    assert len(found) == 6 and in_words(found).endswith("; 3 more columns")
    assert in_words([]) == ""
