"""Whether a candidate may take the champion's place: rules, each with what it could have noticed.

Both models are compared on the same test rows, and in the same bootstrap samples of them, so that
what makes a row hard for both does not blur the difference. A rule is `broken` where the 95 %
interval lies wholly on the wrong side of its threshold, holds where it lies wholly on the right
side, and is `unproven` between: a small test set would otherwise refuse every equal candidate. What
such a set lets through is said by the rule's power.

N test rows, n of them in a slice, M of them corrupted, B bootstrap samples
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import binom, norm

from tasks.core.intervals import Interval, draw_counts, percentile_interval
from tasks.core.metrics import Metrics

# Of refusing a candidate that is as good as the champion; the upper half of a 95 % interval.
LEVEL = 0.025
_SURE = 0.9

Outcome = Literal["holds", "unproven", "broken"]


class Rule(NamedTuple):
    """One threshold and how the candidate stands to it.

    `value`: the candidate's, `champion`: the champion's (None where they are not compared).
    `low`, `high`: the 95 % interval of what is held against the threshold: of the value itself, or
    of how much better than the champion it is. `power`: how likely a candidate that is worse by
    `harm` would have been refused with so many rows; `detectable`: what would be noticed nine times
    in ten. None: nothing was drawn.
    """

    kind: Literal["value", "change", "slice", "robustness", "cost", "data"]
    name: str
    threshold: float
    value: float
    champion: float | None
    low: float | None
    high: float | None
    outcome: Outcome
    num_rows: int | None = None
    harm: float | None = None
    power: float | None = None
    detectable: float | None = None


class Threshold(NamedTuple):
    """By how much a candidate may be worse, and what it must not be worse by unnoticed."""

    margin: float
    harm: float


def is_down_good(metric: str) -> bool:
    return metric.endswith(("_loss", "_error"))


def draw_metrics(
    labels_N: np.ndarray, probabilities_NK: np.ndarray, num_bins: int, num_samples: int, seed: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Every metric, and what it comes to in each bootstrap sample (B,). Equal seeds draw equal
    rows, for whichever model."""
    metrics = Metrics(labels_N, probabilities_NK, num_bins)
    parts = [metrics.measure(counts) for counts in draw_counts(len(labels_N), num_samples, seed)]
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return metrics.values(), drawn


def judge_value(metric: str, threshold: float, value: float, drawn_B: np.ndarray) -> Rule:
    """Is a metric what it must reach (a loss or an error: stay below)?"""
    interval = percentile_interval(value, drawn_B)
    sign = -1 if is_down_good(metric) else 1
    worst, best = sorted((sign * interval.low, sign * interval.high))
    outcome = _outcome(worst, best, sign * threshold)
    return Rule("value", metric, threshold, value, None, interval.low, interval.high, outcome)


def judge_change(
    metric: str,
    threshold: Threshold,
    values: tuple[float, float],
    drawn: tuple[np.ndarray, np.ndarray],
    num_rows: int,
) -> Rule:
    """Is the candidate worse than the champion by more than it may be? `values` and `drawn` are of
    the candidate and of the champion, in the same samples."""
    sign = -1 if is_down_good(metric) else 1
    candidate, champion = values
    gain_B = sign * (drawn[0] - drawn[1])
    interval = percentile_interval(sign * (candidate - champion), gain_B)
    spread = float(np.nanstd(gain_B))
    # A share of rows cannot fall by `harm` unless as many change from right to wrong.
    least = _least_spread(threshold.harm, num_rows) if sign > 0 else 0.0
    return _changed("change", metric, threshold, values, interval, max(spread, least), num_rows)


def judge_robustness(
    threshold: Threshold,
    candidate_M: np.ndarray,
    champion_M: np.ndarray,
    num_samples: int,
    seed: int,
) -> Rule:
    """The same of accuracy on corrupted rows; all corruptions of a row are drawn together."""
    gain_M = candidate_M - champion_M
    num_rows = len(gain_M)
    drawn = [gain_M @ counts / num_rows for counts in draw_counts(num_rows, num_samples, seed)]
    gain_B = np.concatenate(drawn)
    interval = percentile_interval(gain_M.mean(), gain_B)
    values = (float(candidate_M.mean()), float(champion_M.mean()))
    name = "corrupted_accuracy"
    return _changed("robustness", name, threshold, values, interval, float(gain_B.std()), num_rows)


def _changed(
    kind: Literal["change", "robustness"],
    name: str,
    threshold: Threshold,
    values: tuple[float, float],
    interval: Interval,
    spread: float,
    num_rows: int,
) -> Rule:
    outcome = _outcome(interval.low, interval.high, -threshold.margin)
    power, detectable = find_power(threshold, spread, LEVEL)
    return Rule(
        kind, name, threshold.margin, *values, interval.low, interval.high, outcome,
        num_rows, threshold.harm, power, detectable,
    )  # fmt: skip


def _outcome(worst: float, best: float, threshold: float) -> Outcome:
    """NaN, of a model that says nothing, breaks every rule."""
    if worst >= threshold:
        return "holds"
    return "unproven" if best >= threshold else "broken"


def _least_spread(harm: float, num_rows: int) -> float:
    return float(np.sqrt(harm * (1 - harm) / num_rows)) if 0 < harm < 1 else 0.0


def find_power(threshold: Threshold, spread: float, level: float) -> tuple[float, float]:
    """The chance to refuse a candidate that is worse by `harm`, and what is refused in 90 of 100
    trials, if what is measured is normal about the truth. spread: its standard deviation."""
    reach = float(norm.isf(level))
    if spread == 0:
        return float(threshold.harm > threshold.margin), threshold.margin
    power = float(norm.cdf((threshold.harm - threshold.margin) / spread - reach))
    return power, threshold.margin + float(reach + norm.ppf(_SURE)) * spread


def judge_slices(
    slices: Mapping[str, np.ndarray],
    right: tuple[np.ndarray, np.ndarray],
    threshold: Threshold,
    least_rows: int,
) -> list[Rule]:
    """Accuracy in each slice (rows, as a mask) that has `least_rows`, candidate against champion.

    By the exact sign test of the rows that only one of them says right (McNemar, 1947), less those
    that the margin grants: a bootstrap of few rows is too sure of itself. All slices together
    refuse an equal candidate with probability `LEVEL` at most (Holm, 1979). Smaller slices are
    not judged: so few rows could show nothing.
    """
    judged = {name: rows_N for name, rows_N in slices.items() if rows_N.sum() >= least_rows}
    chances = np.array([_chance(right, rows_N, threshold.margin) for rows_N in judged.values()])
    broken = reject_by_holm(chances, LEVEL)
    level = LEVEL / max(1, len(judged))
    return [
        _slice_rule(name, rows_N, right, threshold, level, is_broken)
        for (name, rows_N), is_broken in zip(judged.items(), broken, strict=True)
    ]


def _chance(right: tuple[np.ndarray, np.ndarray], rows_N: np.ndarray, margin: float) -> float:
    """Of as many losses if the candidate is worse by the margin at most."""
    candidate_n, champion_n = (one[rows_N].astype(bool) for one in right)
    lost, won = (champion_n & ~candidate_n).sum(), (candidate_n & ~champion_n).sum()
    beyond = max(0, int(np.floor(lost - margin * rows_N.sum())))
    return float(binom.sf(beyond - 1, beyond + won, 0.5))


def _slice_rule(
    name: str,
    rows_N: np.ndarray,
    right: tuple[np.ndarray, np.ndarray],
    threshold: Threshold,
    level: float,
    is_broken: bool,
) -> Rule:
    candidate_n, champion_n = (one[rows_N].astype(float) for one in right)
    num_rows, gain_n = len(candidate_n), candidate_n - champion_n
    spread = float(gain_n.std() / np.sqrt(num_rows))
    reach = float(norm.isf(level)) * spread
    low, high = float(gain_n.mean()) - reach, float(gain_n.mean()) + reach
    outcome = "broken" if is_broken else "holds" if low >= -threshold.margin else "unproven"
    least = _least_spread(threshold.harm, num_rows)
    power, detectable = find_power(threshold, max(spread, least), level)
    return Rule(
        "slice", name, threshold.margin, float(candidate_n.mean()), float(champion_n.mean()),
        low, high, outcome, num_rows, threshold.harm, power, detectable,
    )  # fmt: skip


def reject_by_holm(chances: np.ndarray, level: float) -> np.ndarray:
    """Which of several hypotheses are rejected, if one that is true may be with probability `level`
    at most, whichever are true (Holm, A simple sequentially rejective multiple test procedure,
    1979)."""
    order = np.argsort(chances, kind="stable")
    passed = chances[order] <= level / np.arange(len(chances), 0, -1)
    rejected = np.zeros(len(chances), dtype=bool)
    rejected[order[np.logical_and.accumulate(passed)]] = True
    return rejected


def judge_limit(kind: Literal["cost", "data"], name: str, most: float, value: float,
                champion: float | None) -> Rule:  # fmt: skip
    """What is counted, not drawn: a value that must not exceed `most`."""
    outcome: Outcome = "holds" if value <= most else "broken"
    return Rule(kind, name, most, value, champion, None, None, outcome)
