"""Spearman's rank correlation, of many pairs at once.

N pairs, P values of each
"""

import numpy as np
from scipy.stats import rankdata


def rank_correlations(left_NP: np.ndarray, right_NP: np.ndarray) -> np.ndarray:
    """Per pair (N); 0 where one side is the same everywhere, and so tells nothing."""
    left_NP, right_NP = (
        rankdata(one, axis=1) - (one.shape[1] + 1) / 2 for one in (left_NP, right_NP)
    )
    scale_N = np.sqrt((left_NP**2).sum(axis=1) * (right_NP**2).sum(axis=1))
    return (left_NP * right_NP).sum(axis=1) / np.where(scale_N > 0, scale_N, 1)
