"""Draws from content: pinned for ever, uniform over keys."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from tasks.core.hashing import content_id, hashed_fraction


def test_known_values_never_change():
    # SHA-256 of nothing and of "abc", as published in FIPS 180-2.
    assert content_id(b"") == "e3b0c44298fc1c149afbf4c8996fb924"
    assert content_id(b"abc") == "ba7816bf8f01cfea414140de5dae2223"
    assert hashed_fraction(b"abc") == int("ba7816bf8f01cf", 16) // 8 / 2**53


@given(st.binary())
def test_fractions_lie_in_the_unit_interval(key):
    assert 0 <= hashed_fraction(key) < 1


@pytest.mark.parametrize("prefix", ["", "group ", "image "])
def test_fractions_look_uniform(prefix):
    drawn = [hashed_fraction(f"{prefix}{number}".encode()) for number in range(5000)]
    assert kstest(drawn, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.05
