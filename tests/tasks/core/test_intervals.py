"""Intervals cover the truth as often as they say, also at the ends and where rows are few."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from tasks.core.intervals import (
    Interval,
    draw_counts,
    largest_share,
    noisy_interval,
    percentile_interval,
    rounded,
    wilson_interval,
)


@pytest.mark.parametrize(("num_rows", "num_samples"), [(7, 30), (3000, 900)])
def test_each_sample_has_as_many_rows_as_there_are(num_rows, num_samples):
    parts = list(draw_counts(num_rows, num_samples, 3))
    counts = np.concatenate(parts, axis=1)
    assert counts.shape == (num_rows, num_samples)
    assert (counts.sum(axis=0) == num_rows).all()
    # A row is left out of a share 1/e of the samples, and drawn once on average.
    assert (counts == 0).mean() == pytest.approx((1 - 1 / num_rows) ** num_rows, abs=0.02)
    again = np.concatenate(list(draw_counts(num_rows, num_samples, 3)), axis=1)
    assert (counts == again).all()
    assert (counts != np.concatenate(list(draw_counts(num_rows, num_samples, 4)), axis=1)).any()


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(hits_of):
    hits, num_rows = hits_of
    ours = wilson_interval(hits, num_rows)
    theirs = binomtest(hits, num_rows).proportion_ci(0.95, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert ours.low <= ours.value == hits / num_rows <= ours.high


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_largest_share_is_clopper_and_pearsons(hits_of):
    hits, num_rows = hits_of
    bound = largest_share(hits, num_rows, 0.05)
    theirs = binomtest(hits, num_rows, alternative="less").proportion_ci(0.95, method="exact")
    assert bound == pytest.approx(theirs.high, abs=1e-9)


def test_the_largest_share_is_exceeded_as_seldom_as_it_says():
    for share in (0.01, 0.05, 0.2):
        hits = np.arange(201)
        bounds = np.array([largest_share(int(h), 200, 0.05) for h in hits])
        assert binom.pmf(hits, 200, share)[bounds < share].sum() <= 0.05


def test_what_noise_adds_is_not_taken_for_the_truth():
    """The largest of 20 means of noise is above 0, which is the truth, and drawing adds again."""
    rng, covered = np.random.default_rng(0), {"noisy": 0, "percentile": 0}
    for seed in range(100):
        rows = rng.normal(size=(40, 20))
        means = rows.mean(axis=0)
        value = float(np.abs(means).max())
        means_B = np.concatenate(
            [rows.T @ counts / 40 for counts in draw_counts(40, 200, seed)], axis=1
        )
        drawn = np.abs(means_B).max(axis=0)
        noise = np.abs(means_B - means[:, None]).max(axis=0)
        covered["noisy"] += noisy_interval(value, drawn, noise).low == 0
        covered["percentile"] += percentile_interval(value, drawn).low <= 0
    assert covered["noisy"] >= 90
    assert covered["percentile"] == 0


def test_samples_without_a_value_do_not_count():
    drawn = np.array([np.nan, *np.linspace(0, 1, 41)])
    assert percentile_interval(0.5, drawn) == pytest.approx((0.5, 0.025, 0.975))


def test_documents_are_rounded_through_and_through():
    document = {"a": [Interval(1 / 3, float("nan"), 1)], "b": {"c": (2 / 3, None, "x", True)}}
    assert rounded(document) == {
        "a": [{"value": 0.333333, "low": None, "high": 1}],
        "b": {"c": [0.666667, None, "x", True]},
    }
