"""Rules of others for the same windows: each says whether it would alarm.

N, M rows, K classes
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from benchmarks.watched import Seen

_TINY = 1e-4


def psi(before_N: np.ndarray, now_M: np.ndarray, num_bins: int = 10) -> float:
    """The population stability index over the reference's deciles."""
    edges = np.unique(np.quantile(before_N, np.linspace(0, 1, num_bins + 1)[1:-1]))
    shares = [
        np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) / len(values)
        for values in (before_N, now_M)
    ]
    before, now = (np.maximum(one, _TINY) for one in shares)
    return float(((now - before) * np.log(now / before)).sum())


def psi_above_a_tenth(reference: Seen, window: Seen) -> bool:
    """Of any column of the softmax."""
    columns = zip(reference.probabilities_NK.T, window.probabilities_NK.T, strict=True)
    return any(psi(before, now) > 0.1 for before, now in columns)


def any_column_by_ks(reference: Seen, window: Seen) -> bool:
    """At 0.05, without a correction."""
    columns = zip(reference.probabilities_NK.T, window.probabilities_NK.T, strict=True)
    tested: list[Any] = [ks_2samp(before, now, method="asymp") for before, now in columns]
    return any(one.pvalue < 0.05 for one in tested)


def mean_confidence(reference: Seen, window: Seen) -> bool:
    """Lower or higher by five points."""
    before, now = (one.probabilities_NK.max(axis=1).mean() for one in (reference, window))
    return bool(abs(now - before) > 0.05)


def evidently_preset(reference: Seen, window: Seen) -> tuple[bool, bool]:
    """Its preset on the columns of the softmax, as it comes: whether it finds the data set drifted
    (half of the columns), and whether any column."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = [f"class {number}" for number in range(reference.probabilities_NK.shape[1])]
    definition = DataDefinition(numerical_columns=names)
    now, before = (
        Dataset.from_pandas(pd.DataFrame(one.probabilities_NK, columns=names), definition)
        for one in (window, reference)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Report([DataDriftPreset()]).run(now, before).dict()
    counted = next(one for one in found["metrics"] if "DriftedColumns" in one["metric_name"])
    count, share = counted["value"]["count"], counted["value"]["share"]
    return bool(share >= 0.5), bool(count > 0)


RULES = {
    "PSI > 0.1, any column": psi_above_a_tenth,
    "KS at 0.05, any column": any_column_by_ks,
    "mean confidence by 0.05": mean_confidence,
}
