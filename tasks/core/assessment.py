"""What can be said of predictions: the parts of metrics/evaluate.json.

N rows, K classes
"""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from tasks.core.calibration import measure_selective, reliability_bins
from tasks.core.errors import ParamsError
from tasks.core.fairness import measure_fairness
from tasks.core.inference import softmax
from tasks.core.intervals import Interval
from tasks.core.metrics import (
    bootstrap_calibration_error,
    bootstrap_differences,
    bootstrap_metrics,
    confusion_matrix,
    log_losses,
    scores_per_class,
)
from tasks.core.params import Section
from tasks.core.slices import Slices, measure_slices, split_column, split_confidence, split_rows
from tasks.core.weak_slices import as_features, find_weak_slices


class SliceParams(Section):
    """`columns`: of the manifest or the measures; numbers are cut where the tails of train rows
    begin. A slice has `least_rows` test rows or more. Weak slices are looked for by trees of
    `depth`; where none is weak, one is reported with a probability of `significance` at most."""

    columns: list[str]
    tail_fraction: Annotated[float, Field(gt=0, lt=0.5)]
    least_rows: Annotated[int, Field(ge=2)]
    depth: Annotated[int, Field(ge=1, le=5)]
    significance: Annotated[float, Field(gt=0, lt=1)]


class FairnessParams(Section):
    """`columns`: as of slices. `classes`: those that it is good or bad to be taken for; all where
    none is named."""

    columns: list[str]
    classes: list[str]


class Drawing(NamedTuple):
    """How bootstrap samples are drawn."""

    num_samples: int
    seed: int


class Judged(NamedTuple):
    """Labelled rows and what a model says of them. `traits` holds the manifest's and the measures'
    columns of these rows, `taught` of train rows."""

    labels_N: np.ndarray
    logits_NK: np.ndarray
    temperature: float
    classes: list[str]
    traits: pd.DataFrame
    taught: pd.DataFrame

    @property
    def probabilities_NK(self) -> np.ndarray:
        return softmax(self.logits_NK / self.temperature)

    @property
    def is_right_N(self) -> np.ndarray:
        return self.logits_NK.argmax(axis=1) == self.labels_N

    @property
    def given_labels(self) -> np.ndarray:
        return np.array(self.classes, dtype=object)[self.labels_N]


def check_names(
    traits: pd.DataFrame, classes: Sequence[str], slices: SliceParams, fairness: FairnessParams
) -> None:
    """Raises ParamsError for a column or a class that there is not."""
    for key, columns in (("slices", slices.columns), ("fairness", fairness.columns)):
        if missing := [name for name in columns if name not in traits]:
            raise ParamsError(
                f"params.yaml: evaluate.{key}.columns: neither the manifest nor the measures have "
                f"{missing}; expected some of {sorted(map(str, traits))}"
            )
    if unknown := [name for name in fairness.classes if name not in classes]:
        raise ParamsError(
            f"params.yaml: evaluate.fairness.classes: {unknown} are no classes of the model; "
            f"expected some of {list(classes)}"
        )


def name_slices(judged: Judged, params: SliceParams) -> Slices:
    """By class and by each column: the same rows whichever model is judged."""
    cut = (params.tail_fraction, params.least_rows)
    columns = params.columns
    labels = pd.DataFrame({"class": judged.given_labels})
    by_class = split_rows(labels, labels, *cut)
    return by_class | split_rows(judged.traits[columns], judged.taught[columns], *cut)


def assess_scores(judged: Judged, num_bins: int, drawing: Drawing) -> dict[str, Any]:
    """Parts `num_rows`, `metrics`, `classes` and `confusion`."""
    predicted_N = judged.logits_NK.argmax(axis=1)
    confusion_KK = confusion_matrix(judged.labels_N, predicted_N, len(judged.classes))
    return {
        "num_rows": len(judged.labels_N),
        "metrics": bootstrap_metrics(judged.labels_N, judged.probabilities_NK, num_bins, *drawing),
        "classes": dict(zip(judged.classes, scores_per_class(confusion_KK), strict=True)),
        "confusion": {"classes": judged.classes, "counts": confusion_KK.tolist()},
    }


def compare_scores(
    judged: Judged, others_NK: np.ndarray, num_bins: int, drawing: Drawing
) -> dict[str, Interval]:
    """By how much other probabilities of the same rows raise each metric."""
    ours_NK = judged.probabilities_NK
    return bootstrap_differences(judged.labels_N, others_NK, ours_NK, num_bins, *drawing)


def assess_calibration(
    judged: Judged, abstention: float, num_bins: int, drawing: Drawing
) -> dict[str, Any]:
    """Parts `calibration` and `selective`; before is with logits as they are."""
    is_right_N = judged.is_right_N
    before_N, after_N = (
        softmax(judged.logits_NK / temperature).max(axis=1)
        for temperature in (1.0, judged.temperature)
    )
    errors = [
        bootstrap_calibration_error(confidence_N, is_right_N, num_bins, *drawing)
        for confidence_N in (before_N, after_N)
    ]
    return {
        "calibration": {
            "temperature": judged.temperature,
            "abstention": abstention,
            "error_before": errors[0],
            "error_after": errors[1],
            "bins_before": reliability_bins(before_N, is_right_N, num_bins),
            "bins": reliability_bins(after_N, is_right_N, num_bins),
        },
        "selective": measure_selective(after_N, is_right_N, abstention),
    }


def assess_slices(judged: Judged, named: Slices) -> list[dict[str, Any]]:
    """The named slices, and how right the model is where it is how sure."""
    probabilities_NK = judged.probabilities_NK
    confidence_N = probabilities_NK.max(axis=1)
    return measure_slices(
        {**named, **split_confidence(confidence_N)},
        judged.is_right_N,
        confidence_N,
        log_losses(judged.labels_N, probabilities_NK),
    )


def assess_weak_slices(judged: Judged, params: SliceParams, seed: int) -> list[dict[str, Any]]:
    features = as_features(judged.traits[params.columns], judged.given_labels, params.least_rows)
    found = find_weak_slices(
        ~judged.is_right_N, features, params.depth, params.least_rows, params.significance, seed
    )
    shown = ("slice", "num_rows", "error", "others_error", "p_value")
    return [{name: getattr(one, name) for name in shown} for one in found]


def assess_fairness(
    judged: Judged, params: FairnessParams, slices: SliceParams, drawing: Drawing
) -> dict[str, Any]:
    """By column and class. Values of a column that are too rare to be a slice are left out."""
    predicted_N = judged.logits_NK.argmax(axis=1)
    found: dict[str, Any] = {}
    for column in params.columns:
        values = {
            name: rows_N
            for name, rows_N in split_column(
                judged.traits[column], judged.taught[column], slices.tail_fraction
            ).items()
            if rows_N.sum() >= slices.least_rows
        }
        found[column] = {
            name: measure_fairness(
                values,
                judged.labels_N == judged.classes.index(name),
                predicted_N == judged.classes.index(name),
                *drawing,
            )
            for name in params.classes or judged.classes
        }
    return found
