"""Temperatures that made labels are found, and what is answered keeps the error asked for."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from tasks.core.calibration import (
    choose_abstention,
    fit_temperature,
    measure_selective,
    reliability_bins,
)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20000, 3)) * 2
    true = softmax(logits, axis=1)
    labels = (rng.random((20000, 1)) > true.cumsum(axis=1)).sum(axis=1)
    found, loss = fit_temperature(logits * temperature, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    assert loss == pytest.approx(log_loss(labels, true), rel=0.01)


def test_rows_that_are_all_right_make_no_model_certain():
    logits = 2.0 * np.eye(4)[np.arange(40) % 4]
    found, _ = fit_temperature(logits, np.arange(40) % 4)
    assert 0.1 < found < 0.7
    # Nothing is known where nobody could know the label.
    assert fit_temperature(np.full((2, 3), -np.inf), np.array([0, 1])) == (1.0, np.inf)


def test_bins_are_scikit_learns():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.3, 1, 500)
    is_right = rng.random(500) < confidence
    bins = reliability_bins(confidence, is_right, 10)
    shares, means = calibration_curve(is_right, confidence, n_bins=10)
    some = [one for one in bins if one.num_rows]
    assert [one.accuracy for one in some] == pytest.approx(shares.tolist())
    assert [one.confidence for one in some] == pytest.approx(means.tolist())
    assert sum(one.num_rows for one in bins) == 500
    assert bins[0] == (0.0, 0.1, 0, None, None)
    assert reliability_bins(np.ones(3), np.ones(3, dtype=bool), 5)[-1].num_rows == 3


def drawn(num_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The error falls as confidence rises: 1 - confidence."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.5, 1, num_rows)
    return confidence, rng.random(num_rows) < confidence


def test_what_is_answered_keeps_the_error_that_was_asked_for():
    """The true error above a threshold t is (1 - t) / 2."""
    broken, thresholds = 0, []
    for seed in range(200):
        threshold = choose_abstention(*drawn(3000, seed), max_error=0.1)
        if threshold is not None:
            thresholds.append(threshold)
            broken += (1 - threshold) / 2 > 0.1
    assert broken <= 10
    # Nor does it refuse far more than it must (0.8).
    assert len(thresholds) > 180 and np.median(thresholds) < 0.9


def test_all_is_answered_where_it_may_be_and_none_where_nothing_can_be_shown():
    confidence, is_right = drawn(500, 0)
    assert choose_abstention(confidence, is_right, 1.0) == 0.0
    assert choose_abstention(confidence, np.ones(500, dtype=bool), 0.05) == 0.0
    assert choose_abstention(confidence, ~is_right, 0.01) is None
    assert choose_abstention(confidence[:5], np.ones(5, dtype=bool), 0.01) is None


def test_the_curve_is_the_error_among_the_surest():
    confidence, is_right = drawn(400, 3)
    found = measure_selective(confidence, is_right, 0.75)
    answered = confidence >= 0.75
    assert found["coverage"].value == answered.mean()
    assert found["error"].value == pytest.approx((~is_right[answered]).mean())
    by_confidence = is_right[np.argsort(-confidence)]
    for point in found["curve"]:
        count = round(point["coverage"] * 400)
        assert point["error"] == pytest.approx((~by_confidence[:count]).mean())
        assert (confidence >= point["confidence"]).sum() == count
    errors = [(~by_confidence[:count]).mean() for count in range(1, 401)]
    assert found["area"] == pytest.approx(np.mean(errors))
    assert measure_selective(confidence, is_right, 1.0)["error"] is None
