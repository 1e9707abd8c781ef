"""Four families: their statistics are the textbook's, their p-values valid, and each has an eye
for what the others overlook."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, ks_2samp, kstest

from monitoring.drift import (
    FAMILIES,
    Family,
    Fitted,
    Placed,
    chi_square,
    compare,
    discrepancy,
    divide,
    holm,
    largest_gap,
    levels_of,
    typical_distance,
)
from monitoring.permutations import Sums
from monitoring.rows import Rows, read_rows
from tests.monitoring.planted import CLASSES, WIDTH, a_reference, a_window, some_params


def rows_of(table: Any) -> Rows:
    return read_rows(table, WIDTH, len(CLASSES))[0]


def against(reference: Rows, window: Rows, seed: int = 0, **changed: Any) -> dict[str, Family]:
    params = some_params(**changed)
    divided = divide(reference, params, seed)
    distance_N = divided.fitted.distances(window.embeddings_ND)
    return compare(divided, Placed(window, distance_N), params, [seed, 7])


def sums_of(features_NF: Any, num_group: int) -> Sums:
    features_NF = np.asarray(
        features_NF.todense() if hasattr(features_NF, "todense") else features_NF
    )
    group, others = features_NF[:num_group], features_NF[num_group:]
    totals = group.sum(axis=0)[None].astype(float), others.sum(axis=0)[None].astype(float)
    return Sums(*totals, len(group), len(others))


def widest(table: np.ndarray, num_group: int) -> float:
    tested: list[Any] = [ks_2samp(one[:num_group], one[num_group:]) for one in table.T]
    return max(one.statistic for one in tested)


def test_the_largest_gap_is_that_of_kolmogorov_and_smirnov() -> None:
    rng = np.random.default_rng(0)
    # As many rows as there are cuts, so that every value may be one.
    table = rng.dirichlet([1.0, 2.0, 1.0], size=60)
    exact = widest(table, 20)
    assert largest_gap(sums_of(levels_of(table), 20), 3)[0] == pytest.approx(exact)
    # With many rows, all but the values between two cuts are told apart.
    table = rng.dirichlet([1.0, 2.0, 1.0], size=3000)
    exact = widest(table, 1000)
    found = largest_gap(sums_of(levels_of(table), 1000), 3)[0]
    assert exact - 1.5 / 64 < found <= exact + 1e-12


def test_chi_square_is_that_of_the_table_of_counts() -> None:
    codes = np.random.default_rng(0).choice(5, 300, p=[0.4, 0.3, 0.2, 0.1, 0.0])
    table = np.stack([np.bincount(codes[:100], minlength=5), np.bincount(codes[100:], minlength=5)])
    exact: Any = chi2_contingency(table[:, :4], correction=False)
    assert chi_square(sums_of(np.eye(5)[codes], 100))[0] == pytest.approx(exact.statistic)


def test_the_discrepancy_is_that_of_a_gaussian_kernel() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.normal(size=(200, 3)), rng.normal(0.7, 1.0, size=(100, 3))
    fitted = Fitted(before, some_params(num_frequencies=20_000), 0)
    both = fitted.place(np.concatenate([now, before]))
    width = typical_distance(fitted.place(before))
    apart_NN = ((both[:, None] - both) ** 2).sum(axis=2)
    kernel_NN = np.exp(-apart_NN / (2 * width**2))
    exact = kernel_NN[:100, :100].mean() + kernel_NN[100:, 100:].mean()
    exact -= 2 * kernel_NN[:100, 100:].mean()
    waves = fitted.waves(np.concatenate([now, before]))
    assert discrepancy(sums_of(waves, 100))[0] == pytest.approx(exact, rel=0.05)


def test_the_typical_distance_is_the_median() -> None:
    places = np.random.default_rng(0).normal(size=(30, 4))
    apart = [np.linalg.norm(places[i] - places[j]) for i in range(30) for j in range(i)]
    assert typical_distance(places) == pytest.approx(np.median(apart))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0.001, 0.5))
def test_holm_rejects_step_by_step(p_values: list[float], alpha: float) -> None:
    rejected = set()
    for rank, number in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
        if (len(p_values) - rank) * p_values[number] > alpha:
            break
        rejected.add(str(number))
    adjusted = holm({str(number): value for number, value in enumerate(p_values)})
    assert {name for name, value in adjusted.items() if value <= alpha} == rejected


def test_p_values_are_valid_against_one_small_reference_after_another() -> None:
    found: dict[str, list[float]] = {name: [] for name in FAMILIES}
    alarms = 0
    for seed in range(150):
        reference = rows_of(a_reference(160, seed=10_000 + seed))
        window = rows_of(a_window(80, seed=20_000 + seed))
        families = against(
            reference, window, seed, num_permutations=99, num_frequencies=16, alpha=0.05
        )
        for name, family in families.items():
            found[name].append(family.p_value)
        alarms += min(family.adjusted for family in families.values()) <= 0.05
    # Of continuous statistics they are uniform, of counts they may only be larger.
    assert kstest(found["embeddings"], "uniform").pvalue > 0.01
    for p_values in found.values():
        for level in (0.05, 0.1, 0.3):
            share = np.mean(np.array(p_values) <= level + 1e-9)
            assert share <= level + 3 * np.sqrt(level * (1 - level) / 150)
    assert alarms / 150 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


@pytest.mark.parametrize(
    ("change", "family"),
    [
        ({"prior": (0.1, 0.3, 0.3, 0.3)}, "classes"),
        ({"prior": (0.1, 0.3, 0.3, 0.3)}, "probabilities"),
        ({"shift": 0.6}, "embeddings"),
        ({"strange": 0.1}, "outliers"),
    ],
)
def test_planted_changes_show(change: dict[str, Any], family: str) -> None:
    reference = rows_of(a_reference(3000))
    seen = [
        against(reference, rows_of(a_window(500, seed=seed, **change)), seed)[family].shows(0.01)
        for seed in range(1, 9)
    ]
    assert sum(seen) >= 7


def test_a_change_below_the_floor_is_no_alarm_however_sure() -> None:
    reference, window = rows_of(a_reference(6000)), rows_of(a_window(6000, shift=0.2))
    floors = dict.fromkeys(FAMILIES, 1.5)
    assert against(reference, window)["embeddings"].adjusted <= 0.01
    assert not any(one.shows(0.5) for one in against(reference, window, floors=floors).values())


def test_a_window_that_is_the_reference_shows_nothing() -> None:
    reference = rows_of(a_reference(400))
    divided = divide(reference, some_params(), 0)
    found = compare(divided, divided.others, some_params(), [0])
    assert {family.effect for family in found.values()} == {0.0}
    # A share may also fall, by chance as often as it rises.
    assert found.pop("outliers").p_value > 0.5
    assert {family.p_value for family in found.values()} == {1.0}


def test_constant_columns_tell_nothing_and_break_nothing() -> None:
    one = Rows(np.ones((200, 3), dtype=np.float32), np.tile([0.5, 0.5], (200, 1)))
    two = Rows(np.ones((90, 3), dtype=np.float32), np.tile([0.5, 0.5], (90, 1)))
    found = against(one, two)
    assert {family.p_value for family in found.values()} == {1.0}
    # A feature that was constant and is no longer is far.
    other = two._replace(embeddings_ND=np.full((90, 3), 7.0, dtype=np.float32))
    assert against(one, other)["embeddings"].adjusted <= 0.01


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([1e-30, 1.0, 1e30, 3e38]), st.integers(4, 12), st.integers(1, 3))
def test_any_finite_embedding_gives_a_p_value(scale: float, num_rows: int, num_window: int) -> None:
    rng = np.random.default_rng(num_rows)
    near = Rows(rng.normal(size=(num_rows, 2)).astype(np.float32), rng.dirichlet([1, 1], num_rows))
    far = Rows(
        np.clip(rng.normal(size=(num_window, 2)) * scale, -3e38, 3e38).astype(np.float32),
        rng.dirichlet([1, 1], num_window),
    )
    for family in against(near, far, num_permutations=399).values():
        assert 0 < family.p_value <= 1 and np.isfinite(family.effect)


def test_the_same_seed_gives_the_same_numbers_another_others() -> None:
    reference, window = rows_of(a_reference(300)), rows_of(a_window(120))
    assert against(reference, window, 3) == against(reference, window, 3)
    assert against(reference, window, 3) != against(reference, window, 4)
