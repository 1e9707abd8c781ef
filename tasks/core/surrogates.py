"""What moves a net, as far as it can be told from measures and metadata: forests that imitate it,
and the SHAP values of these.

N images, F features, K classes
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import KFold, cross_val_predict

from tasks.core.rank_correlation import rank_correlations

_MOST_VALUES = 10
_NUM_FOLDS = 5
_LEAST_ROWS = 4 * _NUM_FOLDS
# What is told of a row is not a reason: its names, and the answers themselves.
NOT_REASONS = (
    "image_id", "path", "label", "given_label", "split", "shard", "row", "captured_at",
    "pixel_hash", "perceptual_hash",
)  # fmt: skip


class Surrogate(NamedTuple):
    """A forest that imitates a net.

    fidelity: how well, on rows that it was not taught; baseline: how well without any feature.
    importance: the mean absolute SHAP value of each feature, largest first. direction: whether more
    of it means more (+1) or less (−1), as a rank correlation; None for classes, where there is no
    more.
    """

    fidelity: float
    baseline: float
    importance: dict[str, float]
    direction: dict[str, float] | None


def make_features(table: pd.DataFrame) -> pd.DataFrame:
    """What people can read of images, as numbers: float64, no column constant, none missing.

    Text of up to ten values becomes a column per value; missing numbers become the median.
    """
    columns: dict[str, Any] = {}
    for name in [name for name in table.columns if name not in NOT_REASONS]:
        values = table[name]
        if pd.api.types.is_numeric_dtype(values):
            numbers = values.astype("float64").replace([np.inf, -np.inf], np.nan)
            columns[name] = numbers.fillna(numbers.median())
        elif pd.api.types.is_string_dtype(values.dropna()) and values.nunique() <= _MOST_VALUES:
            for value in sorted(values.dropna().unique()):
                columns[f"{name}={value}"] = values.eq(value).fillna(False).astype("float64")
    features = pd.DataFrame(columns, index=table.index)
    return features.loc[:, features.nunique() > 1]


def imitate_confidence(
    features: pd.DataFrame, confidence_N: np.ndarray, seed: int
) -> Surrogate | None:
    """Of the probability that the net gives to something: fidelity is R², without features 0.

    None where there is too little to learn from.
    """
    if not _is_enough(features, confidence_N):
        return None
    forest = RandomForestRegressor(100, max_depth=6, min_samples_leaf=5, random_state=seed)
    expected_N = cross_val_predict(forest, features.to_numpy(), confidence_N, cv=_folds(seed))
    unexplained = ((confidence_N - expected_N) ** 2).sum()
    fidelity = 1 - unexplained / ((confidence_N - confidence_N.mean()) ** 2).sum()
    shap_NF = _shap_values(forest.fit(features.to_numpy(), confidence_N), features)
    directions_F = rank_correlations(features.to_numpy().T, shap_NF.T)
    direction = dict(zip(features.columns, directions_F.tolist(), strict=True))
    importance = _importance(features, np.abs(shap_NF).mean(axis=0))
    return Surrogate(float(fidelity), 0.0, importance, direction)


def imitate_classes(features: pd.DataFrame, classes_N: np.ndarray, seed: int) -> Surrogate | None:
    """Of the class that the net says: fidelity is the share of rows where the forest says the same,
    without features the share of the class that it says most. None as above."""
    if not _is_enough(features, classes_N):
        return None
    forest = RandomForestClassifier(100, max_depth=6, min_samples_leaf=5, random_state=seed)
    said_N = np.asarray(cross_val_predict(forest, features.to_numpy(), classes_N, cv=_folds(seed)))
    shap_NFK = _shap_values(forest.fit(features.to_numpy(), classes_N), features)
    importance = _importance(features, np.abs(shap_NFK).mean(axis=0).sum(axis=1))
    baseline = np.unique(classes_N, return_counts=True)[1].max() / len(classes_N)
    return Surrogate(float(np.mean(said_N == classes_N)), float(baseline), importance, None)


def _is_enough(features: pd.DataFrame, target_N: np.ndarray) -> bool:
    return len(features) >= _LEAST_ROWS and features.shape[1] > 0 and len(np.unique(target_N)) > 1


def _folds(seed: int) -> KFold:
    return KFold(_NUM_FOLDS, shuffle=True, random_state=seed)


def _shap_values(
    forest: RandomForestRegressor | RandomForestClassifier, features: pd.DataFrame
) -> np.ndarray:
    # Imported late: it takes seconds.
    from shap import TreeExplainer

    return np.asarray(TreeExplainer(forest).shap_values(features.to_numpy()))


def _importance(features: pd.DataFrame, importance_F: np.ndarray) -> dict[str, float]:
    order = np.argsort(-importance_F, kind="stable")
    return {str(features.columns[number]): float(importance_F[number]) for number in order}
