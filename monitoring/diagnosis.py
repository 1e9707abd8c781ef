"""What of a window changed, in words: "darker images where group is 7".

Measures are compared by Kolmogorov and Smirnov's test, metadata by χ² of their values. The columns
named are those that Benjamini and Hochberg's procedure (Controlling the false discovery rate, 1995)
lets through: this explains an alarm and raises none.

M, N values, those of the reference and of the window
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from scipy.stats import chi2_contingency, false_discovery_control, ks_2samp

# What less and more of a measure looks like.
_WORDS = {
    "brightness": ("darker images", "brighter images"),
    "contrast": ("flatter images", "images of more contrast"),
    "sharpness": ("blurrier images", "sharper or noisier images"),
    "colourfulness": ("paler images", "more colourful images"),
    "entropy": ("plainer images", "busier images"),
    "bytes_per_pixel": ("more compressed images", "less compressed images"),
}
# Of more values a column names rows rather than groups of rows.
_MOST_VALUES = 50
_LEAST_ROWS = 5
_NUM_NAMED = 3


class Finding(NamedTuple):
    """A column that changed. `effect`: of a measure the largest gap between its distributions, of
    metadata the share of rows whose value changed. `group`: the value of a metadata column without
    whose rows a measure is as it was; empty where there is none."""

    column: str
    p_value: float
    adjusted: float
    effect: float
    text: str
    group: str


class _Compared(NamedTuple):
    p_value: float
    effect: float
    text: str


def find_causes(
    reference: pd.DataFrame, window: pd.DataFrame, columns: Sequence[str], rate: float
) -> list[Finding]:
    """The columns that changed at a false discovery rate, those that changed most first."""
    kept = pd.Index(columns)
    grouping = [name for name in kept if _is_grouping(reference[name], window[name])]
    compared = {name: compare_groups(reference[name], window[name]) for name in grouping}
    for name in kept:
        if _is_measure(reference[name]) and _is_measure(window[name]):
            compared[name] = compare_measures(name, reference[name], window[name])
    found = {name: one for name, one in compared.items() if one is not None}
    if not found:
        return []
    adjusted = false_discovery_control([one.p_value for one in found.values()])
    findings = [
        Finding(name, one.p_value, float(level), one.effect, one.text, "")
        for (name, one), level in zip(found.items(), adjusted, strict=True)
        if level <= rate
    ]
    located = [
        one
        if one.column in grouping
        else one._replace(group=locate(reference, window, one.column, grouping))
        for one in findings
    ]
    return sorted(located, key=lambda one: (-one.effect, one.column))


def compare_measures(name: str, before: pd.Series, now: pd.Series) -> _Compared | None:
    """None where either has no finite value, or both have the one value."""
    before_M, now_N = finite(before), finite(now)
    if not len(before_M) or not len(now_N):
        return None
    tested = _test_gap(before_M, now_N)
    medians = float(np.median(before_M)), float(np.median(now_N))
    is_more = now_N.mean() > before_M.mean()
    less, more = _WORDS.get(name, (f"{name} lower", f"{name} higher"))
    text = f"{more if is_more else less} (median {medians[1]:.3g}, was {medians[0]:.3g})"
    return _Compared(tested.p_value, tested.statistic, text)


def compare_groups(before: pd.Series, now: pd.Series) -> _Compared | None:
    """None where there is one value alone."""
    counts = pd.DataFrame(
        {"before": texts(before).value_counts(), "now": texts(now).value_counts()}
    )
    counts = counts.fillna(0).sort_index()
    if len(counts) < 2 or not counts["before"].sum() or not counts["now"].sum():
        return None
    tested: Any = chi2_contingency(counts.to_numpy().T, correction=False)
    shares = counts / counts.sum()
    change = shares["now"] - shares["before"]
    most = str(change.abs().idxmax())
    text = f"{'more' if change[most] > 0 else 'fewer'} rows where {now.name} is {most}"
    share = f"({shares['now'][most]:.0%}, was {shares['before'][most]:.0%})"
    return _Compared(float(tested.pvalue), float(change.abs().sum() / 2), f"{text} {share}")


def locate(
    reference: pd.DataFrame, window: pd.DataFrame, measure: str, grouping: Iterable[str]
) -> str:
    """The group whose rows alone changed, as `column is value`, or nothing.

    It is the one without which the measure is closest to what it was, if that is less than half as
    far, and no farther than chance takes it.
    """
    before_M = finite(reference[measure])
    whole = _test_gap(before_M, finite(window[measure]))
    best, least = "", whole.statistic / 2
    for name in grouping:
        values = window[name].map(str)
        for value, count in values.value_counts().sort_index().items():
            rest_N = finite(window[measure][values != value])
            if count < _LEAST_ROWS or len(rest_N) < _LEAST_ROWS:
                continue
            left = _test_gap(before_M, rest_N)
            if left.statistic < least and left.p_value > 0.05:
                best, least = f"{name} is {value}", left.statistic
    return best


def in_words(findings: Sequence[Finding]) -> str:
    """The likely causes in one line, for an alert; empty where nothing was found."""
    said = [
        f"{one.text} where {one.group}" if one.group else one.text for one in findings[:_NUM_NAMED]
    ]
    more = len(findings) - len(said)
    return "; ".join([*said, *([f"{more} more columns"] if more else [])])


class _Gap(NamedTuple):
    statistic: float
    p_value: float


def _test_gap(before_M: np.ndarray, now_N: np.ndarray) -> _Gap:
    tested: Any = ks_2samp(before_M, now_N, method="asymp")
    return _Gap(float(tested.statistic), float(tested.pvalue))


def finite(values: pd.Series) -> np.ndarray:
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    return numbers[np.isfinite(numbers)]


def texts(values: pd.Series) -> pd.Series:
    return values.dropna().astype(str)


def _is_measure(values: pd.Series) -> bool:
    return is_numeric_dtype(values) and not is_bool_dtype(values)


def _is_grouping(before: pd.Series, now: pd.Series) -> bool:
    if _is_measure(before) or any(_is_list(values) for values in (before, now)):
        return False
    num_values = texts(pd.concat([before, now])).nunique()
    return 1 < num_values <= min(_MOST_VALUES, len(before) / 2)


def _is_list(values: pd.Series) -> bool:
    return any(isinstance(value, list | tuple | dict | np.ndarray) for value in values.head(10))
