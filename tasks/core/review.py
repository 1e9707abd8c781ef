"""What people are asked about labels, and what became of their answers.

N rows of the manifest
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tasks.core.decisions import Decision
from tasks.core.label_quality import LabelQuality

_NUM_NAMED = 5


def find_suspicious(
    table: pd.DataFrame,
    split: str,
    rows: np.ndarray,
    codes_N: np.ndarray,
    quality: LabelQuality,
    classes: list[str],
) -> pd.DataFrame:
    """Rows whose given label is not the most probable one, for people to look at."""
    wrong = quality.suggested_N != codes_N[rows]
    suspicious = rows[wrong]
    return pd.DataFrame(
        {
            "image_id": table["image_id"].iloc[suspicious].to_numpy(),
            "path": table["path"].iloc[suspicious].to_numpy(),
            "split": split,
            "label": np.array(classes, dtype=object)[codes_N[suspicious]],
            "suggested_label": np.array(classes, dtype=object)[quality.suggested_N[wrong]],
            "score": quality.score_N[wrong].round(6),
            "suggested_probability": quality.probability_N[wrong].round(6),
        }
    )


def weigh(
    labels: pd.DataFrame, train: np.ndarray, trusted_N: np.ndarray, least_weight: float
) -> np.ndarray:
    """A weight in [least_weight, 1] per row of the manifest.

    A train row weighs the probability that its label is right (`trusted_N`, one for each of
    `train`); what a person decided is trusted, and what a person dropped weighs nothing.
    """
    weights = np.ones(len(labels))
    weights[train] = np.maximum(trusted_N, least_weight)
    weights[labels["decision"].isin(["keep", "relabel"]).to_numpy()] = 1.0
    weights[(labels["decision"] == "drop").to_numpy()] = 0.0
    return weights.round(6)


def count_answers(
    image_ids: pd.Series,
    codes_N: np.ndarray,
    suggested_N: np.ndarray,
    decided: Mapping[str, Decision],
) -> dict[str, Any]:
    """What became of flags that people answered, and decisions about images that are not there.

    codes_N: the labels before any decision; suggested_N: the class suggested, −1 where nothing was.
    A flag is upheld by `drop` or `relabel`, overturned by `keep`.
    """
    known = set(image_ids)
    flagged = set(image_ids[(suggested_N >= 0) & (codes_N >= 0) & (suggested_N != codes_N)])
    unknown = [image_id for image_id in decided if image_id not in known]
    overturned = [i for i in decided if i in flagged and decided[i].verb == "keep"]
    upheld = [i for i in decided if i in flagged and decided[i].verb != "keep"]
    return {
        "num_flags_upheld": len(upheld),
        "num_flags_overturned": len(overturned),
        "num_unflagged": len(decided) - len(upheld) - len(overturned) - len(unknown),
        "num_unknown": len(unknown),
        "first_unknown": unknown[:_NUM_NAMED],
    }
