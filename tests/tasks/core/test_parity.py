"""Parity is what scikit-learn counts, its bounds cover the truth, and rules choose within them."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from tasks.core.parity import (
    Bounds,
    Parity,
    Variant,
    bound_loss,
    bound_share,
    choose,
    compare_logits,
    find_eligible,
)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0, 3))
def test_parity_is_what_others_count(seed, num_rows, noise):
    rng = np.random.default_rng(seed)
    expected = rng.normal(size=(num_rows, 4))
    given_logits = expected + noise * rng.normal(size=expected.shape)
    codes = rng.integers(-1, 4, num_rows)
    parity = compare_logits(expected, given_logits, codes)
    said, variant = expected.argmax(axis=1), given_logits.argmax(axis=1)
    known = codes >= 0
    assert parity.max_difference == np.max(np.abs(expected - given_logits))
    assert parity.agreement == pytest.approx(accuracy_score(said, variant))
    if known.any():
        accuracy, other = (accuracy_score(codes[known], one[known]) for one in (variant, said))
        assert parity.accuracy.value == pytest.approx(accuracy)
        assert parity.accuracy_loss.value == pytest.approx(other - accuracy)
    for bounds in (parity.accuracy, parity.accuracy_loss):
        assert bounds.low <= bounds.value <= bounds.high


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_logit_that_is_not_finite_differs_by_more_than_anything(value):
    logits = np.zeros((3, 2))
    broken = logits.copy()
    broken[1, 1] = value
    parity = compare_logits(logits, broken, np.zeros(3, int))
    assert parity.max_difference == math.inf and not parity.is_finite
    broken = Variant("float16", parity._replace(accuracy_loss=Bounds(0, 0, 0)), 1, 1)
    assert find_eligible([ALL[0], broken], 1.0) == ALL[:1]


def test_a_share_has_the_interval_of_wilson():
    low, high = 0.0, 1.0
    z = NormalDist().inv_cdf(0.975)
    centre = (40 + z**2 / 2) / (50 + z**2)
    spread = z / (50 + z**2) * math.sqrt(40 * 10 / 50 + z**2 / 4)
    bounds = bound_share(40, 50)
    assert bounds.value == 0.8
    assert (bounds.low, bounds.high) == pytest.approx((centre - spread, centre + spread))
    assert bound_share(0, 0) == Bounds(0.0, low, high)


@pytest.mark.parametrize(("lost", "won"), [(0.0, 0.0), (0.02, 0.0), (0.05, 0.03), (0.2, 0.2)])
def test_the_bounds_of_a_loss_cover_the_truth(lost, won):
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        kinds = rng.choice(3, size=300, p=[lost, won, 1 - lost - won])
        before, after = kinds != 1, kinds != 0
        bounds = bound_loss(before, after)
        covered += bounds.low <= lost - won <= bounds.high
    assert covered >= 935


def test_fewer_rows_show_less():
    same = np.ones(50, bool)
    assert bound_loss(same, same).high > bound_loss(np.ones(5000, bool), np.ones(5000, bool)).high
    assert bound_loss(same, same).value == 0
    mirrored = np.arange(50) < 5
    lost, won = bound_loss(same, mirrored), bound_loss(mirrored, same)
    assert (lost.value, lost.low, lost.high) == pytest.approx((-won.value, -won.high, -won.low))


def variant(name: str, loss: float, num_bytes: int, num_flops: int) -> Variant:
    fine = Bounds(0.9, 0.8, 0.95)
    return Variant(name, Parity(0.1, 1.0, fine, Bounds(0.0, -0.01, loss)), num_bytes, num_flops)


ALL = [
    variant("float32", 0.02, 1000, 90),
    variant("float16", 0.001, 500, 90),
    variant("int8", 0.004, 300, 90),
    variant("pruned", 0.02, 600, 40),
]


@pytest.mark.parametrize(
    ("rule", "max_loss", "chosen"),
    [
        ("float32", 1.0, "float32"),
        ("fewest_bytes", 0.03, "int8"),
        ("fewest_bytes", 0.002, "float16"),
        ("fewest_bytes", 0.0, "float32"),
        ("fewest_flops", 0.03, "pruned"),
        # As many operations: then the bytes decide.
        ("fewest_flops", 0.01, "int8"),
    ],
)
def test_rules_choose_among_those_that_lose_little(rule, max_loss, chosen):
    choice = choose(ALL, rule, max_loss)
    assert choice.variant == chosen
    assert choice.reason


def test_the_reason_names_its_numbers():
    reason = choose(ALL, "fewest_bytes", 0.01).reason
    assert "300 bytes" in reason and "of the 3 that lose at most 1.00%" in reason
