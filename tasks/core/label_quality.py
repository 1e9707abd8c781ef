"""Which labels look wrong, judged from what an encoder sees.

The judge is a kernel ridge regression of the labels on embeddings. Its squared loss gives a
wrong label little power over the rows around it, which a logistic loss that wants to be sure of
every row does not, and it has a closed form.

N, M images, D width of the embedding, K classes, P penalties
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from cleanlab.rank import get_label_quality_scores
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tasks.core.calibration import fit_temperature
from tasks.core.errors import ParamsError
from tasks.core.inference import softmax
from tasks.core.looks import Look

# A ridge regression may say less than nothing of a class.
_LEAST_PROBABILITY = 0.01


class LabelQuality(NamedTuple):
    """`score_N`: cleanlab's normalised margin, in [0, 1], below 0.5 where another class is more
    probable than the given one. `suggested_N`: the most probable class, and `probability_N` its
    probability."""

    score_N: np.ndarray
    suggested_N: np.ndarray
    probability_N: np.ndarray


class Judge(NamedTuple):
    """What out-of-fold judging showed to be best: the look, the ridge's penalty, and the
    temperature at which its logits are calibrated."""

    look: Look
    penalty: float
    temperature: float

    def probabilities(self, logits_NK: np.ndarray) -> np.ndarray:
        return softmax(logits_NK / self.temperature)


class Features:
    """Embeddings → the features of an RBF kernel, by landmarks among the rows that teach (Williams
    and Seeger, Using the Nyström method to speed up kernel machines, 2000)."""

    def __init__(self, embeddings_ND: np.ndarray, num_landmarks: int, seed: int):
        nystroem = Nystroem(
            gamma=1 / embeddings_ND.shape[1],
            n_components=min(num_landmarks, len(embeddings_ND)),
            random_state=seed,
        )
        self._map: Pipeline = make_pipeline(StandardScaler(), nystroem).fit(embeddings_ND)

    def __call__(self, embeddings_MD: np.ndarray) -> np.ndarray:
        return self._map.transform(embeddings_MD)


class Probe:
    """Ridge regression of one-hot labels on features, which estimates the classes' probabilities; a
    row may weigh less than another."""

    def __init__(self, num_classes: int, penalty: float):
        self._classes = np.arange(num_classes)
        self._ridge = Ridge(alpha=penalty)

    def fit(
        self, features_NF: np.ndarray, labels_N: np.ndarray, weights_N: np.ndarray | None = None
    ) -> Self:
        self._is_seen = np.isin(self._classes, labels_N)
        self._ridge.fit(features_NF, np.eye(len(self._classes))[labels_N], weights_N)
        return self

    def predict(self, features_MF: np.ndarray) -> np.ndarray:
        """Logits (M, K); of a class that it never saw −∞."""
        estimates_MK = self._ridge.predict(features_MF).reshape(len(features_MF), -1)
        logits_MK = np.log(np.maximum(estimates_MK, _LEAST_PROBABILITY))
        return np.where(self._is_seen, logits_MK, -np.inf)


def out_of_fold_logits(
    embeddings_ND: np.ndarray,
    labels_N: np.ndarray,
    groups_N: np.ndarray,
    num_classes: int,
    penalties: Sequence[float],
    num_folds: int,
    num_landmarks: int,
    seed: int,
) -> np.ndarray:
    """Logits (P, N, K) of each row by probes that have seen neither it nor its group.

    Raises ParamsError if there are fewer groups than folds.
    """
    logits_PNK = np.full((len(penalties), len(labels_N), num_classes), -np.inf)
    for learnt, judged in divide(labels_N, groups_N, num_folds, seed):
        features = Features(embeddings_ND[learnt], num_landmarks, seed)
        learnt_NF, judged_MF = features(embeddings_ND[learnt]), features(embeddings_ND[judged])
        for number, penalty in enumerate(penalties):
            probe = Probe(num_classes, penalty).fit(learnt_NF, labels_N[learnt])
            logits_PNK[number, judged] = probe.predict(judged_MF)
    return logits_PNK


def divide(
    labels_N: np.ndarray, groups_N: np.ndarray, num_folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows to learn from and rows to judge, by fold; a group is never on both sides.

    Raises ParamsError if there are fewer groups than folds.
    """
    num_groups = len(np.unique(groups_N))
    if num_groups < num_folds:
        raise ParamsError(f"num_folds: {num_folds}, but train has {num_groups} groups of rows")
    is_grouped = num_groups < len(groups_N)
    # Groups are dealt one by one, in Python; single rows need not be.
    kind = StratifiedGroupKFold if is_grouped else StratifiedKFold
    if np.bincount(labels_N).max() < num_folds:
        # Where every class has fewer rows than folds, there is nothing to stratify.
        kind = GroupKFold if is_grouped else KFold
    folds = kind(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Classes with fewer rows than folds are expected, and divided as far as they go.
        warnings.filterwarnings("ignore", message="The least populated class")
        for learnt, judged in folds.split(labels_N, labels_N, groups_N if is_grouped else None):
            if len(judged):
                yield learnt, judged


def group_numbers(groups: pd.Series) -> np.ndarray:
    """The number of each row's group, int (N,); a row without a group is one of its own."""
    numbers = pd.factorize(groups)[0]
    return np.where(numbers < 0, len(numbers) + np.arange(len(numbers)), numbers)


def choose_judge(
    logits_by_look: Mapping[Look, np.ndarray], labels_N: np.ndarray, penalties: Sequence[float]
) -> tuple[Judge, np.ndarray]:
    """The look, penalty and temperature of the least log loss, and its logits (N, K), of logits
    (P, N, K) by each look."""
    tried = []
    for look, logits_PNK in logits_by_look.items():
        for penalty, logits_NK in zip(penalties, logits_PNK, strict=True):
            temperature, loss = fit_temperature(logits_NK, labels_N)
            tried.append((loss, Judge(look, penalty, temperature), logits_NK))
    _, judge, logits_NK = min(tried, key=lambda one: one[0])
    return judge, logits_NK


def score_labels(labels_N: np.ndarray, probabilities_NK: np.ndarray) -> LabelQuality:
    """Scores every given label against what the embeddings suggest."""
    if len(labels_N) == 0:
        return LabelQuality(np.empty(0), np.empty(0, dtype=int), np.empty(0))
    scores = get_label_quality_scores(labels_N, probabilities_NK, method="normalized_margin")
    return LabelQuality(
        score_N=np.asarray(scores),
        suggested_N=probabilities_NK.argmax(axis=1),
        probability_N=probabilities_NK.max(axis=1),
    )
