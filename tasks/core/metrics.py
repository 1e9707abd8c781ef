"""How good predictions are, and how sure that is.

N images, K classes, B bootstrap samples
"""

from typing import NamedTuple

import numpy as np

# Where scikit-learn clips probabilities.
_TINY = float(np.finfo(np.float64).eps)


class Interval(NamedTuple):
    """A value and its 95 % percentile bootstrap interval (Efron, 1979)."""

    value: float
    low: float
    high: float


def confusion_matrix(labels_N: np.ndarray, predicted_N: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts (K, K): actual class down, predicted class across."""
    counts = np.bincount(labels_N * num_classes + predicted_N, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def scores_of_confusion(confusion_KK: np.ndarray) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 averaged over the classes that occur.

    Balanced accuracy is the mean recall of classes that have rows. A class that is neither given
    nor predicted is left out of macro means; a precision or recall without a denominator counts 0.
    """
    hits, given, predicted = (
        np.diag(confusion_KK).astype(float),
        confusion_KK.sum(axis=1).astype(float),
        confusion_KK.sum(axis=0).astype(float),
    )
    precision, recall, f1 = _precision_recall_f1(hits, given, predicted)
    occurs, has_rows = (given + predicted) > 0, given > 0
    share = given / given.sum()
    return {
        "accuracy": float(hits.sum() / given.sum()),
        "balanced_accuracy": float(recall[has_rows].mean()),
        "macro_precision": float(precision[occurs].mean()),
        "macro_recall": float(recall[occurs].mean()),
        "macro_f1": float(f1[occurs].mean()),
        "weighted_precision": float((share * precision).sum()),
        "weighted_recall": float((share * recall).sum()),
        "weighted_f1": float((share * f1).sum()),
    }


def scores_per_class(confusion_KK: np.ndarray) -> list[dict[str, float]]:
    """Precision, recall, F1 and number of rows of each class."""
    hits, given, predicted = (
        np.diag(confusion_KK).astype(float),
        confusion_KK.sum(axis=1).astype(float),
        confusion_KK.sum(axis=0).astype(float),
    )
    columns = (*_precision_recall_f1(hits, given, predicted), given)
    return [
        {"precision": float(p), "recall": float(r), "f1": float(f), "num_rows": int(n)}
        for p, r, f, n in zip(*columns, strict=True)
    ]


def _precision_recall_f1(
    hits: np.ndarray, given: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        hits / np.maximum(predicted, 1),
        hits / np.maximum(given, 1),
        2 * hits / np.maximum(given + predicted, 1),
    )


def log_losses(labels_N: np.ndarray, probabilities_NK: np.ndarray) -> np.ndarray:
    """Negative log of the probability of the given class, per row."""
    return -np.log(np.clip(probabilities_NK[np.arange(len(labels_N)), labels_N], _TINY, 1))


def calibration_error(confidence_N: np.ndarray, is_right_N: np.ndarray, num_bins: int) -> float:
    """Expected calibration error of the top class over equally wide bins
    (Guo et al., On calibration of modern neural networks, 2017, equation 3)."""
    bins = np.minimum((confidence_N * num_bins).astype(int), num_bins - 1)
    surplus = np.bincount(bins, weights=confidence_N - is_right_N, minlength=num_bins)
    return float(np.abs(surplus).sum() / len(confidence_N))


def measure_predictions(
    labels_N: np.ndarray, probabilities_NK: np.ndarray, num_bins: int
) -> dict[str, float]:
    """All metrics that are one number."""
    predicted_N = probabilities_NK.argmax(axis=1)
    confusion_KK = confusion_matrix(labels_N, predicted_N, probabilities_NK.shape[1])
    confidence_N = probabilities_NK.max(axis=1)
    return {
        **scores_of_confusion(confusion_KK),
        "log_loss": float(log_losses(labels_N, probabilities_NK).mean()),
        "calibration_error": calibration_error(confidence_N, predicted_N == labels_N, num_bins),
    }


def bootstrap_metrics(
    labels_N: np.ndarray, probabilities_NK: np.ndarray, num_bins: int, num_samples: int, seed: int
) -> dict[str, Interval]:
    """Every metric of `measure_predictions` with its interval, rows drawn with replacement."""
    rng = np.random.default_rng(seed)
    values = measure_predictions(labels_N, probabilities_NK, num_bins)
    drawn = []
    for _ in range(num_samples):
        rows = rng.integers(len(labels_N), size=len(labels_N))
        drawn.append(measure_predictions(labels_N[rows], probabilities_NK[rows], num_bins))
    intervals = {}
    for name, value in values.items():
        low, high = np.quantile([sample[name] for sample in drawn], [0.025, 0.975])
        intervals[name] = Interval(value, float(low), float(high))
    return intervals
