"""Whether probabilities can be taken at their word, and when it is better not to answer.

N rows, K classes
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from tasks.core.inference import softmax
from tasks.core.intervals import largest_share, wilson_interval

_SHARPEST, _FLATTEST = 0.02, 50.0
# The shares of rows that abstention may leave answered, strictest last.
_ANSWERED = np.linspace(1.0, 0.05, 20)
_DOUBT = 0.05


class Bin(NamedTuple):
    """The rows whose confidence is in [low, high); mean confidence and accuracy, None without."""

    low: float
    high: float
    num_rows: int
    confidence: float | None
    accuracy: float | None


def fit_temperature(logits_NK: np.ndarray, labels_N: np.ndarray) -> tuple[float, float]:
    """The temperature of the least log loss, and that loss (Guo et al., On calibration of modern
    neural networks, 2017).

    Labels that nobody could know, as no other row has them, do not count. The logarithm of the
    temperature has a standard normal prior, worth about one row: where every row is right, the
    least loss alone would lie at certainty.
    """
    known = np.isfinite(logits_NK[np.arange(len(labels_N)), labels_N])
    if not known.any():
        return 1.0, np.inf
    logits_NK, rows, labels_N = logits_NK[known], np.arange(known.sum()), labels_N[known]

    def log_loss(log_temperature: float) -> float:
        probabilities_NK = softmax(logits_NK / np.exp(log_temperature))
        return float(-np.log(np.maximum(probabilities_NK[rows, labels_N], 1e-300)).mean())

    def surprise(log_temperature: float) -> float:
        return log_loss(log_temperature) + log_temperature**2 / (2 * len(rows))

    bounds = (np.log(_SHARPEST), np.log(_FLATTEST))
    found = minimize_scalar(surprise, bounds=bounds, method="bounded")
    return float(np.exp(found.x)), log_loss(float(found.x))


def reliability_bins(confidence_N: np.ndarray, is_right_N: np.ndarray, num_bins: int) -> list[Bin]:
    """Confidence beside accuracy over equally wide bins (DeGroot and Fienberg, 1983)."""
    bins_N = np.minimum((confidence_N * num_bins).astype(int), num_bins - 1)
    found = []
    for number in range(num_bins):
        inside_N = bins_N == number
        means = (
            (float(confidence_N[inside_N].mean()), float(is_right_N[inside_N].mean()))
            if inside_N.any()
            else (None, None)
        )
        found.append(Bin(number / num_bins, (number + 1) / num_bins, int(inside_N.sum()), *means))
    return found


def choose_abstention(
    confidence_N: np.ndarray, is_right_N: np.ndarray, max_error: float
) -> float | None:
    """The least confidence from which on the error among answered rows is `max_error` at most, with
    95 % certainty; 0 where every row may be answered, None where no threshold can be shown to do.

    Tried are the thresholds that leave 100 %, 95 %, … 5 % of the rows answered, each against the
    exact bound of Clopper and Pearson at a twentieth of the doubt (Bonferroni), so that the choice
    among them costs no certainty (Geifman and El-Yaniv, Selective classification for deep neural
    networks, 2017).
    """
    falling_N = np.sort(confidence_N)[::-1]
    for share in _ANSWERED:
        last = falling_N[max(1, round(share * len(falling_N))) - 1]
        # Rounded down, so that the row that drew the line stays answered wherever it is written.
        threshold = 0.0 if share == 1 else float(np.floor(last * 1e6) / 1e6)
        answered_N = confidence_N >= threshold
        wrong, num_answered = int((~is_right_N[answered_N]).sum()), int(answered_N.sum())
        if largest_share(wrong, num_answered, _DOUBT / len(_ANSWERED)) <= max_error:
            return threshold
    return None


def measure_selective(
    confidence_N: np.ndarray, is_right_N: np.ndarray, threshold: float
) -> dict[str, Any]:
    """What abstaining below the threshold gives: the fraction answered and the error among it; the
    risk-coverage curve (El-Yaniv and Wiener, 2010) and the area under it."""
    order_N = np.argsort(-confidence_N, kind="stable")
    wrong_N = ~is_right_N[order_N]
    error_N = np.cumsum(wrong_N) / np.arange(1, len(order_N) + 1)
    answered = int((confidence_N >= threshold).sum())
    wrong = int(wrong_N[:answered].sum())
    ends = np.unique(np.ceil(_ANSWERED * len(order_N)).astype(int)) - 1
    return {
        "threshold": threshold,
        "coverage": wilson_interval(answered, len(order_N)),
        "error": wilson_interval(wrong, answered) if answered else None,
        "area": float(error_N.mean()),
        "curve": [
            {
                "coverage": float((end + 1) / len(order_N)),
                "error": float(error_N[end]),
                "confidence": float(confidence_N[order_N[end]]),
            }
            for end in ends
        ],
    }
