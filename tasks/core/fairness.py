"""Whether a model treats rows alike whatever the value of a column (Hardt, Price and Srebro,
Equality of opportunity in supervised learning, 2016).

N rows, V values, B bootstrap samples
"""

from typing import Any

import numpy as np

from tasks.core.intervals import Interval, draw_counts, noisy_interval, percentile_interval
from tasks.core.slices import Slices

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")


def measure_fairness(
    values: Slices,
    is_positive_N: np.ndarray,
    is_selected_N: np.ndarray,
    num_samples: int,
    seed: int,
) -> dict[str, Any]:
    """How often rows of each value get the positive class: all of them, those that have it (a
    right), and those that do not (a wrong), with bootstrap intervals. A gap is the largest rate
    less the least. None where no row counts.
    """
    over_SN, under_SN = _counted_rows(list(values.values()), is_positive_N, is_selected_N)
    once_N1 = np.ones((len(is_positive_N), 1))
    rates_S = _rates(over_SN, under_SN, once_N1)[:, 0]
    drawn_SB = np.concatenate(
        [
            _rates(over_SN, under_SN, counts_Nb)
            for counts_Nb in draw_counts(len(is_positive_N), num_samples, seed)
        ],
        axis=1,
    )
    rates_VR = rates_S.reshape(len(values), len(RATES))
    drawn_VRB = drawn_SB.reshape(len(values), len(RATES), num_samples)
    return {
        "values": {
            name: {
                "num_rows": int(rows_N.sum()),
                **{
                    rate: _interval(rates_VR[v, r], drawn_VRB[v, r]) for r, rate in enumerate(RATES)
                },
            }
            for v, (name, rows_N) in enumerate(values.items())
        },
        "gaps": {rate: _gap(rates_VR[:, r], drawn_VRB[:, r]) for r, rate in enumerate(RATES)},
    }


def _counted_rows(
    masks: list[np.ndarray], is_positive_N: np.ndarray, is_selected_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each value and rate the rows that are selected, and those that could be: (V * 3, N)."""
    everyone_N = np.ones_like(is_positive_N)
    could_be = (everyone_N, is_positive_N, ~is_positive_N)
    under = [rows_N & whom_N for rows_N in masks for whom_N in could_be]
    under_SN = np.array(under, dtype=np.float64).reshape(len(under), len(is_positive_N))
    return under_SN * is_selected_N, under_SN


def _rates(over_SN: np.ndarray, under_SN: np.ndarray, counts_NB: np.ndarray) -> np.ndarray:
    over_SB, under_SB = over_SN @ counts_NB, under_SN @ counts_NB
    return np.divide(over_SB, under_SB, out=np.full_like(over_SB, np.nan), where=under_SB > 0)


def _interval(rate: float, drawn_B: np.ndarray) -> Interval | None:
    return None if np.isnan(rate) else percentile_interval(rate, drawn_B)


def _gap(rates_V: np.ndarray, drawn_VB: np.ndarray) -> Interval | None:
    known_V = ~np.isnan(rates_V)
    if known_V.sum() < 2:
        return None
    rates_V, drawn_VB = rates_V[known_V], drawn_VB[known_V]
    # A sample in which no row of some value counts says nothing of the gap.
    drawn_B, noise_B = (np.ptp(one, axis=0) for one in (drawn_VB, drawn_VB - rates_V[:, None]))
    if np.isnan(drawn_B).all():
        return None
    return noisy_interval(float(np.ptp(rates_V)), drawn_B, noise_B)
