"""Which labels look wrong, judged from embeddings.

N, M images, D width of the embedding, K classes
"""

import warnings
from typing import NamedTuple

import numpy as np
from cleanlab.rank import get_label_quality_scores
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler


class LabelQuality(NamedTuple):
    """`score_N`: cleanlab's self-confidence, the probability of the given label, [0, 1].
    `suggested_N`: the most probable class, and `probability_N` its probability."""

    score_N: np.ndarray
    suggested_N: np.ndarray
    probability_N: np.ndarray


def out_of_fold_probabilities(
    embeddings_ND: np.ndarray,
    labels_N: np.ndarray,
    num_classes: int,
    num_folds: int,
    inverse_penalty: float,
    seed: int,
) -> np.ndarray:
    """Probabilities (N, K) of each row by a logistic regression that has not seen it.

    A class with a single row has probability 0 where that row is judged.
    """
    probabilities_NK = np.zeros((len(labels_N), num_classes))
    folds = StratifiedKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Classes with fewer rows than folds are expected, and divided as far as they go.
        warnings.filterwarnings("ignore", message="The least populated class")
        for learnt, judged in folds.split(embeddings_ND, labels_N):
            model = fit_probe(embeddings_ND[learnt], labels_N[learnt], inverse_penalty)
            probabilities_NK[judged] = predict_probe(model, embeddings_ND[judged], num_classes)
    return probabilities_NK


def fit_probe(embeddings_ND: np.ndarray, labels_N: np.ndarray, inverse_penalty: float) -> Pipeline:
    """Logistic regression on standardised embeddings."""
    regression = LogisticRegression(C=inverse_penalty, max_iter=500)
    return make_pipeline(StandardScaler(), regression).fit(embeddings_ND, labels_N)


def predict_probe(model: Pipeline, embeddings_MD: np.ndarray, num_classes: int) -> np.ndarray:
    """Probabilities (M, K); classes that the probe never saw get 0."""
    probabilities_MK = np.zeros((len(embeddings_MD), num_classes))
    probabilities_MK[:, model.classes_] = model.predict_proba(embeddings_MD)
    return probabilities_MK


def score_labels(labels_N: np.ndarray, probabilities_NK: np.ndarray) -> LabelQuality:
    """Scores every given label against what the embeddings suggest."""
    if len(labels_N) == 0:
        return LabelQuality(np.empty(0), np.empty(0, dtype=int), np.empty(0))
    scores = get_label_quality_scores(labels_N, probabilities_NK, method="self_confidence")
    suggested = probabilities_NK.argmax(axis=1)
    return LabelQuality(np.asarray(scores), suggested, probabilities_NK.max(axis=1))
