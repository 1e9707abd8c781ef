"""Where a model is weak: slices that nobody named, found by shallow trees and then tested on rows
that the trees have not seen.

N rows, F features
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import hypergeom
from sklearn.tree import DecisionTreeClassifier

from tasks.core.intervals import Interval, wilson_interval
from tasks.core.slices import is_numeric

_NO_CHILD = -1
# Two slices that share more of their rows than this say the same.
_SAME_OVERLAP = 0.5


class WeakSlice(NamedTuple):
    """Rows that fulfil the conditions, and of those that the tree has not seen: their number, their
    error, that of the others, and how probable so much more is by chance (adjusted for all slices
    that were looked at)."""

    slice: str
    rows_N: np.ndarray
    num_rows: int
    error: Interval
    others_error: float
    p_value: float


class _Leaf(NamedTuple):
    """`seen_N`: the rows that its tree grew on."""

    name: str
    rows_N: np.ndarray
    seen_N: np.ndarray


def find_weak_slices(
    is_wrong_N: np.ndarray,
    features: pd.DataFrame,
    depth: int,
    least_rows: int,
    significance: float,
    seed: int,
) -> list[WeakSlice]:
    """The least probable by chance first; of slices that overlap by more than half the first.

    Rows are divided in two by chance. On each half grows a tree that tells wrong predictions from
    right ones; each of its leaves with more errors than its half is then tested on the other half,
    where it may have come to nothing, by Fisher's exact test. Over the leaves of both trees the
    probabilities are adjusted as Holm's (1979). So where errors do not hang on the features,
    anything at all is reported with a probability of `significance` at most, however many slices
    were looked at.
    """
    first_N = np.zeros(len(is_wrong_N), dtype=bool)
    first_N[np.random.default_rng(seed).permutation(len(is_wrong_N))[::2]] = True
    # Half of the rows of a slice are in each half.
    leaves = [
        leaf
        for seen_N in (first_N, ~first_N)
        for leaf in _grow(is_wrong_N, features, seen_N, depth, max(1, least_rows // 2))
    ]
    tested = [_test(leaf, is_wrong_N) for leaf in leaves]
    adjusted = holm(np.array([one.p_value for one in tested]))
    ranked = sorted(
        (one._replace(p_value=float(p)) for one, p in zip(tested, adjusted, strict=True)),
        key=lambda one: (one.p_value, -one.error.value, one.slice),
    )
    kept: list[WeakSlice] = []
    for one in ranked:
        if one.p_value <= significance and not any(_overlap(one, other) for other in kept):
            kept.append(one)
    return kept


def as_features(traits: pd.DataFrame, labels: np.ndarray, least_rows: int) -> pd.DataFrame:
    """Numbers that a tree may ask for: those of `traits`, the median where there is none, and
    whether a row is of a class or of another value that `least_rows` rows have."""
    columns: dict[str, np.ndarray] = {}
    for name, column in {**dict(traits.items()), "class": pd.Series(labels)}.items():
        if is_numeric(column):
            numbers = column.to_numpy(dtype=float, na_value=np.nan)
            middle = np.nanmedian(numbers) if not np.isnan(numbers).all() else 0.0
            columns[str(name)] = np.where(np.isnan(numbers), middle, numbers)
            continue
        counts = column.dropna().astype(str).value_counts()
        for value in sorted(counts[counts >= least_rows].index):
            columns[f"{name}={value}"] = (column.astype(str) == value).to_numpy(dtype=float)
    return pd.DataFrame(columns)


def holm(p_values_T: np.ndarray) -> np.ndarray:
    """The least significance at which each of T tests rejects, if the probability that any of them
    does so wrongly is to stay below it (Holm, 1979)."""
    order_T = np.argsort(p_values_T, kind="stable")
    factors_T = np.arange(len(p_values_T), 0, -1)
    adjusted_T = np.empty_like(p_values_T)
    adjusted_T[order_T] = np.minimum(1, np.maximum.accumulate(p_values_T[order_T] * factors_T))
    return adjusted_T


def _grow(
    is_wrong_N: np.ndarray, features: pd.DataFrame, seen_N: np.ndarray, depth: int, least_rows: int
) -> list[_Leaf]:
    """Leaves with more errors than all rows that the tree grew on."""
    if not features.shape[1] or len(np.unique(is_wrong_N[seen_N])) < 2:
        return []
    values_NF = features.to_numpy(dtype=np.float32)
    model = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=least_rows, random_state=0)
    model.fit(values_NF[seen_N], is_wrong_N[seen_N])
    leaf_N, names = model.apply(values_NF), _names_of_leaves(model, list(map(str, features)))
    leaves = [_Leaf(name, leaf_N == number, seen_N) for number, name in names.items() if name]
    error = is_wrong_N[seen_N].mean()
    return [leaf for leaf in leaves if is_wrong_N[leaf.rows_N & seen_N].mean() > error]


def _names_of_leaves(model: DecisionTreeClassifier, features: list[str]) -> dict[int, str]:
    tree, names = model.tree_, {}
    todo: list[tuple[int, dict[str, tuple[float, float]]]] = [(0, {})]
    while todo:
        node, bounds = todo.pop()
        if tree.children_left[node] == _NO_CHILD:
            names[node] = _in_words(bounds)
            continue
        feature, cut = features[tree.feature[node]], float(tree.threshold[node])
        low, high = bounds.get(feature, (-np.inf, np.inf))
        todo.append((tree.children_left[node], {**bounds, feature: (low, min(high, cut))}))
        todo.append((tree.children_right[node], {**bounds, feature: (max(low, cut), high)}))
    return names


def _in_words(bounds: dict[str, tuple[float, float]]) -> str:
    """`class=3, brightness ≤ 0.21`. That a row is not of a value goes without saying where it is of
    another one."""
    said, columns_with_value = (
        [],
        {
            feature.split("=")[0]
            for feature, (low, _) in bounds.items()
            if "=" in feature and low > 0
        },
    )
    for feature, (low, high) in bounds.items():
        name, sign, value = feature.partition("=")
        if not sign:
            lower = f"{low:.4g} < " if low > -np.inf else ""
            upper = f" ≤ {high:.4g}" if high < np.inf else ""
            said.append(f"{name} > {low:.4g}" if not upper else f"{lower}{name}{upper}")
        elif low > 0:
            said.append(feature)
        elif name not in columns_with_value:
            said.append(f"{name}≠{value}")
    return ", ".join(said)


def _test(leaf: _Leaf, is_wrong_N: np.ndarray) -> WeakSlice:
    """Fisher's exact test, one-sided, on the rows that the tree has not seen."""
    judged_N = ~leaf.seen_N
    inside_N, others_N = leaf.rows_N & judged_N, ~leaf.rows_N & judged_N
    num_inside, num_wrong = int(inside_N.sum()), int(is_wrong_N[inside_N].sum())
    all_wrong = int(is_wrong_N[judged_N].sum())
    p_value = hypergeom.sf(num_wrong - 1, int(judged_N.sum()), all_wrong, num_inside)
    return WeakSlice(
        leaf.name,
        leaf.rows_N,
        num_inside,
        wilson_interval(num_wrong, num_inside) if num_inside else Interval(0.0, 0.0, 1.0),
        float(is_wrong_N[others_N].mean()) if others_N.any() else 0.0,
        float(p_value),
    )


def _overlap(one: WeakSlice, other: WeakSlice) -> bool:
    both, either = one.rows_N & other.rows_N, one.rows_N | other.rows_N
    return bool(both.sum() > _SAME_OVERLAP * either.sum())
