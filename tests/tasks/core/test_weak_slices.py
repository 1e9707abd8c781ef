"""A planted weak slice is found and ranked first; where there is none, hardly ever anything is."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

from tasks.core.weak_slices import as_features, find_weak_slices, holm

CLASSES = np.array(list("abcde"))


def drawn(seed: int, num_rows: int = 800) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Traits, labels, and mistakes that hang on nothing."""
    rng = np.random.default_rng(seed)
    traits = pd.DataFrame({name: rng.normal(size=num_rows) for name in ("light", "sharp")})
    traits["group"] = rng.choice(list("xyz"), num_rows)
    return traits, rng.choice(CLASSES, num_rows), rng.random(num_rows) < 0.1


def found_in(traits, labels, is_wrong, seed=0):
    return find_weak_slices(is_wrong, as_features(traits, labels, 20), 3, 20, 0.05, seed)


def test_a_planted_slice_is_found_and_comes_first():
    for seed in range(8):
        traits, labels, is_wrong = drawn(seed)
        planted = ((labels == "c") & (traits["light"] < -0.3)).to_numpy()
        is_wrong = is_wrong | planted
        first = found_in(traits, labels, is_wrong)[0]
        both, either = first.rows_N & planted, first.rows_N | planted
        assert both.sum() > 0.7 * either.sum()
        assert "class=c" in first.slice and "light ≤ -0." in first.slice
        assert first.p_value < 0.001 and first.error.low > first.others_error


def test_where_mistakes_hang_on_nothing_hardly_anything_is_reported():
    reported = sum(bool(found_in(*drawn(seed), seed)) for seed in range(100))
    # At most 5 in 100 are expected; the binomial's standard deviation is 2.2.
    assert reported <= 10


def test_numbers_are_of_rows_that_the_tree_has_not_seen():
    traits, labels, is_wrong = drawn(3)
    planted = (labels == "c") & (traits["group"] == "x").to_numpy()
    is_wrong = is_wrong | planted
    (first, *_) = found_in(traits, labels, is_wrong, seed=5)
    half = np.zeros(len(labels), dtype=bool)
    half[np.random.default_rng(5).permutation(len(labels))[::2]] = True
    tables = []
    for judged in (half, ~half):
        inside, others = first.rows_N & judged, ~first.rows_N & judged
        tables.append(
            [[is_wrong[part].sum(), (~is_wrong[part]).sum()] for part in (inside, others)]
        )
    of_half = [table for table in tables if sum(table[0]) == first.num_rows]
    p_values = [float(fisher_exact(one, alternative="greater").pvalue) for one in of_half]  # type: ignore[attr-defined]
    # Adjusted for eight leaves at most of each of two trees.
    assert any(p * 0.999 <= first.p_value <= 16 * p for p in p_values)
    assert first.slice == "class=c, group=x" or first.slice == "group=x, class=c"


@pytest.mark.parametrize("is_wrong", [np.zeros(60, dtype=bool), np.ones(60, dtype=bool)])
def test_all_right_or_all_wrong_has_no_weak_slice(is_wrong):
    traits, labels, _ = drawn(0, 60)
    assert found_in(traits, labels, is_wrong) == []
    assert find_weak_slices(is_wrong, pd.DataFrame(index=range(60)), 3, 20, 0.05, 0) == []


def test_features_are_numbers_and_whether_a_row_is_of_a_value():
    traits = pd.DataFrame({"light": [1.0, np.nan, 3.0, 5.0], "group": ["x", "x", "y", None]})
    features = as_features(traits, np.array(["a", "a", "a", "b"]), 2)
    assert features.to_dict("list") == {
        "light": [1, 3, 3, 5], "group=x": [1, 1, 0, 0], "class=a": [1, 1, 1, 0],
    }  # fmt: skip


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.5, 0.9])) == pytest.approx([1.0, 1.0])
    assert len(holm(np.array([]))) == 0
