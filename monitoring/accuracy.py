"""How often a model is right: expected while no labels are there, measured as they come.

N rows, F features, of which the first is constant
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

_TINY = 1e-6
# Two standard deviations of a normal distribution hold 95 %.
_REACH = 1.96


class Estimate(NamedTuple):
    """A value and what it lies between with a probability of 95 %."""

    value: float
    low: float
    high: float


def expected_accuracy(
    reference_NF: np.ndarray, is_right_N: np.ndarray, window_NF: np.ndarray
) -> Estimate:
    """The share of right predictions in a window, by a logistic regression of being right on
    features, learnt from the reference.

    The band allows for how little the reference tells (delta method) and for chance in the window.
    It holds as long as rows of equal features are right as often as in the reference.
    """
    # Half a right and half a wrong row keep the regression finite where all rows are right.
    middle_2F = np.repeat(reference_NF.mean(axis=0, keepdims=True), 2, axis=0)
    taught_NF = np.concatenate([reference_NF, middle_2F])
    weight_N = np.concatenate([np.ones(len(reference_NF)), [0.5, 0.5]])
    model = LogisticRegression(C=1e4, fit_intercept=False, max_iter=200)
    model.fit(taught_NF, np.concatenate([is_right_N, [True, False]]), sample_weight=weight_N)
    taught_N, asked_N = (model.predict_proba(rows_NF)[:, 1] for rows_NF in (taught_NF, window_NF))
    curvature_FF = (taught_NF * (weight_N * taught_N * (1 - taught_N))[:, None]).T @ taught_NF
    spread_N = asked_N * (1 - asked_N)
    slope_F = (window_NF * spread_N[:, None]).mean(axis=0)
    variance = slope_F @ np.linalg.pinv(curvature_FF) @ slope_F + spread_N.mean() / len(asked_N)
    value, band = float(asked_N.mean()), _REACH * float(np.sqrt(variance))
    return Estimate(value, max(0.0, value - band), min(1.0, value + band))


def features_of(
    probabilities_NK: np.ndarray, distance_N: np.ndarray, scale: tuple[float, float]
) -> np.ndarray:
    """What tells whether a prediction is right: (N, 3). How sure the model is, and how far the row
    lies from the reference, on the `scale` (mean, sd) of the reference's log distances."""
    confidence_N = np.clip(probabilities_NK.max(axis=1), _TINY, 1 - _TINY)
    mean, sd = scale
    far_N = (log_distance(distance_N) - mean) / sd
    return np.stack([np.ones(len(far_N)), np.log(confidence_N / (1 - confidence_N)), far_N], axis=1)


def scale_of(distance_N: np.ndarray) -> tuple[float, float]:
    logs_N = log_distance(distance_N)
    sd = float(logs_N.std())
    return float(logs_N.mean()), sd if sd > _TINY else 1.0


def log_distance(distance_N: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(distance_N, _TINY))


def measured_accuracy(num_right: int, num_labelled: int) -> Estimate:
    """Wilson's interval (Wilson, Probable inference, 1927)."""
    interval = binomtest(num_right, num_labelled).proportion_ci(method="wilson")
    return Estimate(num_right / num_labelled, float(interval.low), float(interval.high))
