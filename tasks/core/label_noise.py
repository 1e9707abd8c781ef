"""How many labels are expected to be wrong, and which classes look like one.

N images, K classes
"""

from typing import Any

import numpy as np
from cleanlab.count import compute_confident_joint


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
