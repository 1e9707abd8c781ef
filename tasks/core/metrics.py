"""How good predictions are, and how sure that is.

Every metric is a function of how often each row counts, so that one formula gives the value (each
row once) and its bootstrap samples.

N images, K classes, B samples
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from tasks.core.intervals import (
    Interval,
    draw_counts,
    mirrored_interval,
    noisy_interval,
    percentile_interval,
)
from tasks.core.ranking import Ranking

# Where scikit-learn clips probabilities.
_TINY = float(np.finfo(np.float64).eps)
_TOP = (2, 5)


def confusion_matrix(labels_N: np.ndarray, predicted_N: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts (K, K): actual class down, predicted class across."""
    counts = np.bincount(labels_N * num_classes + predicted_N, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


class _Tally(NamedTuple):
    """Per class and sample, float (K, B): rows that were said right, have the class, got it."""

    hits: np.ndarray
    given: np.ndarray
    predicted: np.ndarray

    def precision(self) -> np.ndarray:
        return self.hits / np.maximum(self.predicted, 1)

    def recall(self) -> np.ndarray:
        return self.hits / np.maximum(self.given, 1)

    def f1(self) -> np.ndarray:
        return 2 * self.hits / np.maximum(self.given + self.predicted, 1)


def scores_per_class(confusion_KK: np.ndarray) -> list[dict[str, float]]:
    """Precision, recall, F1 and number of rows of each class."""
    tally = _Tally(
        np.diag(confusion_KK).astype(float),
        confusion_KK.sum(axis=1).astype(float),
        confusion_KK.sum(axis=0).astype(float),
    )
    columns = (tally.precision(), tally.recall(), tally.f1(), tally.given)
    return [
        {"precision": float(p), "recall": float(r), "f1": float(f), "num_rows": int(n)}
        for p, r, f, n in zip(*columns, strict=True)
    ]


def _scores_of_tally(tally: _Tally) -> dict[str, np.ndarray]:
    """Accuracy, agreement beyond chance, and precision, recall and F1 averaged over classes.

    Balanced accuracy is the mean recall of classes that have rows. A class that is neither given
    nor predicted is left out of macro means; a precision or recall without a denominator counts 0.
    """
    occurs_KB, has_rows_KB = (tally.given + tally.predicted) > 0, tally.given > 0
    total_B, right_B = tally.given.sum(axis=0), tally.hits.sum(axis=0)
    share_KB = tally.given / total_B
    scores = {"accuracy": right_B / total_B}
    scores["balanced_accuracy"] = tally.recall().sum(axis=0) / has_rows_KB.sum(axis=0)
    for name in ("precision", "recall", "f1"):
        score_KB = getattr(tally, name)()
        scores[f"macro_{name}"] = score_KB.sum(axis=0) / occurs_KB.sum(axis=0)
        scores[f"weighted_{name}"] = (share_KB * score_KB).sum(axis=0)
    return scores | _agreement(tally, total_B, right_B)


def _agreement(tally: _Tally, total_B: np.ndarray, right_B: np.ndarray) -> dict[str, np.ndarray]:
    """Cohen's kappa (1960) and the correlation of Matthews (1975) for several classes (Gorodkin,
    2004); 0 where all rows have one class, or got one, as nothing can be told from chance."""
    by_chance_B = (tally.given * tally.predicted).sum(axis=0)
    beyond_B = right_B * total_B - by_chance_B
    spread_given_B = total_B**2 - (tally.given**2).sum(axis=0)
    spread_predicted_B = total_B**2 - (tally.predicted**2).sum(axis=0)
    return {
        "cohen_kappa": _ratio(beyond_B, total_B**2 - by_chance_B),
        "matthews_correlation": _ratio(beyond_B, np.sqrt(spread_given_B * spread_predicted_B)),
    }


def _ratio(over_B: np.ndarray, under_B: np.ndarray) -> np.ndarray:
    return np.divide(over_B, under_B, out=np.zeros_like(over_B), where=under_B > 0)


def log_losses(labels_N: np.ndarray, probabilities_NK: np.ndarray) -> np.ndarray:
    """Negative log of the probability of the given class, per row."""
    return -np.log(np.clip(probabilities_NK[np.arange(len(labels_N)), labels_N], _TINY, 1))


def _quality_of_rows(labels_N: np.ndarray, probabilities_NK: np.ndarray) -> dict[str, np.ndarray]:
    """What is a mean over rows. The Brier loss is summed over classes, from 0 to 2 (Brier, 1950);
    of top-k accuracy, k classes or fewer give 1."""
    rows = np.arange(len(labels_N))
    given_N1 = probabilities_NK[rows, labels_N][:, None]
    ties_NK = (probabilities_NK == given_N1) & (
        np.arange(probabilities_NK.shape[1]) < labels_N[:, None]
    )
    rank_N = ((probabilities_NK > given_N1) | ties_NK).sum(axis=1)
    brier_N = (probabilities_NK**2).sum(axis=1) - 2 * given_N1[:, 0] + 1
    return {
        "log_loss": log_losses(labels_N, probabilities_NK),
        "brier_loss": brier_N,
        **{f"top_{k}_accuracy": (rank_N < k).astype(float) for k in _TOP},
    }


def _surplus_of_bins(confidence_N: np.ndarray, is_right_N: np.ndarray, num_bins: int) -> csr_array:
    """What confidence exceeds accuracy by, of each row in the row of its bin (num_bins, N)."""
    bins_N = np.minimum((confidence_N * num_bins).astype(int), num_bins - 1)
    return _placed(bins_N, num_bins, confidence_N - is_right_N)


def _placed(codes_N: np.ndarray, num_codes: int, values_N: np.ndarray) -> csr_array:
    places = (codes_N, np.arange(len(codes_N)))
    return csr_array((values_N.astype(np.float64), places), shape=(num_codes, len(codes_N)))


def calibration_error(confidence_N: np.ndarray, is_right_N: np.ndarray, num_bins: int) -> float:
    """Expected calibration error of the top class over equally wide bins
    (Guo et al., On calibration of modern neural networks, 2017, equation 3)."""
    surplus = _surplus_of_bins(confidence_N, is_right_N, num_bins)
    return float(np.abs(surplus.sum(axis=1)).sum() / len(confidence_N))


def bootstrap_calibration_error(
    confidence_N: np.ndarray, is_right_N: np.ndarray, num_bins: int, num_samples: int, seed: int
) -> Interval:
    surplus = _surplus_of_bins(confidence_N, is_right_N, num_bins) / len(confidence_N)
    seen_K1 = surplus.sum(axis=1)[:, None]
    drawn, noise = [], []
    for counts_Nb in draw_counts(len(confidence_N), num_samples, seed):
        sampled_Kb = surplus @ counts_Nb
        drawn.append(np.abs(sampled_Kb).sum(axis=0))
        noise.append(np.abs(sampled_Kb - seen_K1).sum(axis=0))
    value = calibration_error(confidence_N, is_right_N, num_bins)
    return noisy_interval(value, np.concatenate(drawn), np.concatenate(noise))


class Metrics:
    """All metrics that are one number, of given predictions."""

    def __init__(self, labels_N: np.ndarray, probabilities_NK: np.ndarray, num_bins: int):
        num_classes, predicted_N = probabilities_NK.shape[1], probabilities_NK.argmax(axis=1)
        is_right_N, once_N = predicted_N == labels_N, np.ones(len(labels_N))
        self._hits = _placed(labels_N, num_classes, is_right_N)
        self._given = _placed(labels_N, num_classes, once_N)
        self._predicted = _placed(predicted_N, num_classes, once_N)
        self._surplus = _surplus_of_bins(probabilities_NK.max(axis=1), is_right_N, num_bins)
        quality = _quality_of_rows(labels_N, probabilities_NK)
        self._quality_names, self._quality_QN = list(quality), np.stack(list(quality.values()))
        self._rankings = [
            Ranking.of(probabilities_NK[:, label], np.flatnonzero(labels_N == label))
            for label in np.unique(labels_N)
        ]

    def measure(self, counts_NB: np.ndarray) -> dict[str, np.ndarray]:
        """Each metric in each sample (B,), where rows count as often as `counts_NB` says.

        ROC AUC and average precision are one-vs-rest, averaged over the classes that have rows;
        ROC AUC is 0.5 where all rows have one class, as there is nothing to put in order.
        """
        total_B = counts_NB.sum(axis=0)
        tally = _Tally(self._hits @ counts_NB, self._given @ counts_NB, self._predicted @ counts_NB)
        means_QB = self._quality_QN @ counts_NB / total_B
        ranked_RB = [ranking.measure(counts_NB) for ranking in self._rankings]
        areas_KB, precisions_KB = (np.stack(one) for one in zip(*ranked_RB, strict=True))
        return {
            **_scores_of_tally(tally),
            **dict(zip(self._quality_names, means_QB, strict=True)),
            "roc_auc": np.where(np.isnan(areas_KB).all(axis=0), 0.5, _mean_known(areas_KB)),
            "average_precision": _mean_known(precisions_KB),
            "calibration_error": np.abs(self._surplus @ counts_NB).sum(axis=0) / total_B,
        }

    def values(self) -> dict[str, float]:
        """Each metric with every row once."""
        once_N1 = np.ones((self._quality_QN.shape[1], 1))
        return {name: float(drawn_B[0]) for name, drawn_B in self.measure(once_N1).items()}


def _mean_known(values_KB: np.ndarray) -> np.ndarray:
    known_KB = ~np.isnan(values_KB)
    return np.nansum(values_KB, axis=0) / np.maximum(known_KB.sum(axis=0), 1)


def measure_predictions(
    labels_N: np.ndarray, probabilities_NK: np.ndarray, num_bins: int
) -> dict[str, float]:
    """All metrics that are one number."""
    return Metrics(labels_N, probabilities_NK, num_bins).values()


def bootstrap_metrics(
    labels_N: np.ndarray, probabilities_NK: np.ndarray, num_bins: int, num_samples: int, seed: int
) -> dict[str, Interval]:
    """Every metric with its interval, rows drawn with replacement."""
    metrics, kept = Metrics(labels_N, probabilities_NK, num_bins), []
    for counts_Nb in draw_counts(len(labels_N), num_samples, seed):
        kept.append(metrics.measure(counts_Nb))
    confidence_N = probabilities_NK.max(axis=1)
    is_right_N = probabilities_NK.argmax(axis=1) == labels_N
    intervals = {}
    for name, value in metrics.values().items():
        interval = mirrored_interval if name == "average_precision" else percentile_interval
        intervals[name] = interval(value, np.concatenate([one[name] for one in kept]))
    error = bootstrap_calibration_error(confidence_N, is_right_N, num_bins, num_samples, seed)
    return intervals | {"calibration_error": error}


def bootstrap_differences(
    labels_N: np.ndarray,
    first_NK: np.ndarray,
    second_NK: np.ndarray,
    num_bins: int,
    num_samples: int,
    seed: int,
) -> dict[str, Interval]:
    """By how much every metric of the first probabilities is above that of the second, both of the
    same rows in each sample."""
    both = [Metrics(labels_N, one_NK, num_bins) for one_NK in (first_NK, second_NK)]
    kept = []
    for counts_Nb in draw_counts(len(labels_N), num_samples, seed):
        first, second = (one.measure(counts_Nb) for one in both)
        kept.append({name: first[name] - second[name] for name in first})
    first, second = (one.values() for one in both)
    return {
        name: percentile_interval(
            first[name] - second[name], np.concatenate([one[name] for one in kept])
        )
        for name in first
    }
