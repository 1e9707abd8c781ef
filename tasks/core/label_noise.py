"""How many labels are expected to be wrong, how far each is trusted, which classes look like one.

N images, K classes
"""

from typing import Any

import numpy as np
from cleanlab.count import compute_confident_joint

# As many as this share of a class's rows stand for it. Fewer would count rare mistakes badly, more
# take in images of other classes.
_ANCHOR_FRACTION = 0.2


def count_errors(labels_N: np.ndarray, probabilities_NK: np.ndarray) -> np.ndarray:
    """Expected rows (K, K) of each given label (down) that show each class (across): cleanlab's
    calibrated confident joint (Northcutt et al., Confident learning, 2021). Its rows sum to the
    rows of each given label."""
    num_classes = probabilities_NK.shape[1]
    present = np.unique(labels_N)
    joint_KK = np.zeros((num_classes, num_classes))
    if len(present) < 2:
        joint_KK[present, present] = len(labels_N)
        return joint_KK
    # Cleanlab counts classes up to the last one that somebody has.
    shares_NP = probabilities_NK[:, present]
    shares_NP = shares_NP / np.maximum(shares_NP.sum(axis=1, keepdims=True), 1e-12)
    counted = compute_confident_joint(np.searchsorted(present, labels_N), shares_NP)
    joint_KK[np.ix_(present, present)] = counted
    return joint_KK


def estimate_mistakes(labels_N: np.ndarray, probabilities_NK: np.ndarray) -> np.ndarray:
    """How often each class (across) is given each label (down), (K, K), columns summing to 1: the
    labels of the rows that look most like the class (the anchors of Patrini et al., Making deep
    neural networks robust to label noise: a loss correction approach, 2017, of which they take one
    a class). One more row, shared by all labels, leaves possible what was not seen."""
    num_classes = probabilities_NK.shape[1]
    num_anchors_K = _count_anchors(labels_N, num_classes)
    most_like_NK = np.argsort(-probabilities_NK, axis=0, kind="stable")
    counted = [
        np.bincount(labels_N[most_like_NK[:num_anchors, shown]], minlength=num_classes)
        for shown, num_anchors in enumerate(num_anchors_K)
    ]
    return (np.stack(counted, axis=1) + 1 / num_classes) / (num_anchors_K + 1)


def trust_labels(labels_N: np.ndarray, probabilities_NK: np.ndarray) -> np.ndarray:
    """The probability (N,) that the given label is right, by Bayes' rule: from how probable each
    class is by what the image shows, and how often images of that class are given this label.

    It is 1 throughout a class that images do not show, of which fewer rows are probably right than
    stand for it, as happens to the smallest where classes are unequal: nothing is known there."""
    num_classes = probabilities_NK.shape[1]
    mistakes_KK = estimate_mistakes(labels_N, probabilities_NK)
    joint_NK = probabilities_NK * mistakes_KK[labels_N]
    trusted_N = joint_NK[np.arange(len(labels_N)), labels_N] / joint_NK.sum(axis=1)
    num_right_K = np.bincount(labels_N[trusted_N > 0.5], minlength=num_classes)
    is_shown_K = num_right_K >= _count_anchors(labels_N, num_classes)
    return np.where(is_shown_K[labels_N], trusted_N, 1.0)


def _count_anchors(labels_N: np.ndarray, num_classes: int) -> np.ndarray:
    num_rows_K = np.bincount(labels_N, minlength=num_classes)
    return np.ceil(_ANCHOR_FRACTION * num_rows_K).astype(int)


def find_noisy_pairs(joint_KK: np.ndarray, classes: list[str], most: int) -> list[dict[str, Any]]:
    """The pairs of given label and class shown with the most expected errors, at least one each."""
    errors_KK = joint_KK - np.diag(np.diag(joint_KK))
    order = np.argsort(-errors_KK, axis=None, kind="stable")[:most]
    return [
        {
            "label": classes[given],
            "shows": classes[shown],
            "num_expected": round(float(errors_KK[given, shown]), 2),
            "label_fraction": _rounded(
                float(errors_KK[given, shown]), float(joint_KK[given].sum())
            ),
        }
        for given, shown in zip(*np.unravel_index(order, errors_KK.shape), strict=True)
        if errors_KK[given, shown] >= 1
    ]


def find_overlapping(
    joint_KK: np.ndarray, classes: list[str], least_fraction: float
) -> list[dict[str, Any]]:
    """Pairs of classes of whose rows at least this share shows the other class."""
    sums_K = joint_KK.sum(axis=1)
    confused_KK = joint_KK + joint_KK.T
    pairs = [
        {
            "classes": [classes[one], classes[other]],
            "confused_fraction": _rounded(confused_KK[one, other], sums_K[one] + sums_K[other]),
        }
        for one, other in zip(*np.triu_indices(len(classes), k=1), strict=True)
    ]
    found = [pair for pair in pairs if pair["confused_fraction"] >= least_fraction]
    return sorted(found, key=lambda pair: -pair["confused_fraction"])


def _rounded(part: float, whole: float) -> float:
    return round(float(part / whole), 6) if whole else 0.0
