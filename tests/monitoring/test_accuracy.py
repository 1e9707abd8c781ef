"""Bands hold what they promise."""

import numpy as np
import pytest

from monitoring.accuracy import expected_accuracy, features_of, measured_accuracy, scale_of


def draw(rng: np.random.Generator, count: int, doubt: float = 0.0):
    """Features of rows, and whether each is right, which they tell exactly."""
    sure_N, far_N = rng.normal(1.5 - doubt, 1.0, count), rng.normal(doubt, 1.0, count)
    chance_N = 1 / (1 + np.exp(-(0.3 + sure_N - 0.5 * far_N)))
    return np.stack([np.ones(count), sure_N, far_N], axis=1), rng.random(count) < chance_N


@pytest.mark.parametrize("doubt", [0.0, 0.8])
def test_nineteen_of_twenty_bands_hold_the_accuracy(doubt: float) -> None:
    """Also where images became harder, as long as the features tell."""
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        features_NF, is_right_N = draw(rng, 600)
        window_NF, truth_N = draw(rng, 300, doubt)
        band = expected_accuracy(features_NF, is_right_N, window_NF)
        held += band.low <= truth_N.mean() <= band.high
    assert 0.90 <= held / 200 <= 0.99


@pytest.mark.parametrize("right", [True, False])
def test_a_reference_that_is_all_right_or_all_wrong_is_believed(right: bool) -> None:
    features_NF, _ = draw(np.random.default_rng(0), 200)
    band = expected_accuracy(features_NF, np.full(200, right), features_NF)
    assert abs(band.value - right) < 0.02 and 0 <= band.low <= band.high <= 1


def test_wilson_s_interval_is_the_textbook_s() -> None:
    # Of Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I.
    assert measured_accuracy(81, 263)[1:] == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert measured_accuracy(0, 20)[1:] == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_certainty_and_distance_stay_finite() -> None:
    probabilities_NK = np.array([[1.0, 0.0], [0.5, 0.5]])
    features_NF = features_of(probabilities_NK, np.array([0.0, 2.0]), (0.0, 1.0))
    assert np.isfinite(features_NF).all() and features_NF[1, 1] == 0.0
    assert scale_of(np.zeros(5))[1] == 1.0
