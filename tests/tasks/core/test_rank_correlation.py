"""Rank correlations are scipy's, many at once."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from tasks.core.rank_correlation import rank_correlations

PAIRS = arrays(np.float64, (2, 7), elements=st.integers(-3, 3).map(float))


def spearman(left: np.ndarray, right: np.ndarray) -> float:
    found: Any = spearmanr(left, right)
    return found.statistic


@given(PAIRS)
def test_a_correlation_is_that_of_scipy(pair):
    left, right = pair
    (found,) = rank_correlations(left[None], right[None])
    if len(set(left)) == 1 or len(set(right)) == 1:
        assert found == 0
    else:
        assert abs(found - spearman(left, right)) < 1e-9


def test_pairs_do_not_mix():
    values = np.random.default_rng(0).normal(size=(4, 9))
    np.testing.assert_allclose(rank_correlations(values, values[::-1] ** 3), [
        spearman(a, b) for a, b in zip(values, values[::-1], strict=True)
    ])  # fmt: skip
