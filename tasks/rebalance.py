"""Stage rebalance: which train rows are seen how often, and how frequent the classes then are."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler

from tasks.artifacts.documents import save_json
from tasks.artifacts.tables import load_rows, load_table, save_rows
from tasks.core.errors import ParamsError
from tasks.core.params import Section

_SAMPLERS = {"RandomOverSampler": RandomOverSampler, "RandomUnderSampler": RandomUnderSampler}


class Params(Section):
    """`sampling_strategy` as imbalanced-learn takes it: a word, or rows per class."""

    sampler: Literal["none", "RandomOverSampler", "RandomUnderSampler"]
    sampling_strategy: (
        Literal["auto", "all", "minority", "majority", "not minority", "not majority"]
        | dict[str, int]
    )


def main(
    train: Path,
    labels: Path,
    out_rows: Path,
    out_priors: Path,
    out_metrics: Path,
    params: Params,
    seed: int,
) -> None:
    table = load_table(labels, ["label"])["label"]
    rows = load_rows(train)
    rows = rows[table.iloc[rows].notna().to_numpy()]
    given = table.iloc[rows].astype(str).to_numpy()
    chosen = resample(given, params, seed)
    before, after = count_classes(given), count_classes(given[chosen])
    save_rows(rows[chosen], out_rows)
    save_json({label: count / len(chosen) for label, count in after.items()}, out_priors)
    save_json({"before": before, "after": after}, out_metrics)


def resample(labels: np.ndarray, params: Params, seed: int) -> np.ndarray:
    """Positions in `labels`, with repeats, ascending.

    Raises ParamsError if the strategy names a class that is not there, or asks for the impossible.
    """
    if params.sampler == "none":
        return np.arange(len(labels))
    sampler = _SAMPLERS[params.sampler](
        sampling_strategy=params.sampling_strategy, random_state=seed
    )
    try:
        sampler.fit_resample(np.arange(len(labels)).reshape(-1, 1), labels)
    except ValueError as error:
        raise ParamsError(f"params.yaml: rebalance.sampling_strategy: {error}") from error
    return np.sort(sampler.sample_indices_)


def count_classes(labels: np.ndarray) -> dict[str, int]:
    return {
        str(label): int(count)
        for label, count in pd.Series(labels).value_counts().sort_index().items()
    }
