"""What windows are compared with: a reference, read and divided once for all of them.

N rows, F features
"""

import numpy as np
import pandas as pd

from monitoring.accuracy import features_of, scale_of
from monitoring.drift import Reference, divide
from monitoring.params import Params
from monitoring.preconditions import Model, check_columns, refused
from monitoring.rows import (
    REFERENCE,
    content_hash,
    described_columns,
    in_order,
    read_rows,
    usual_length,
)
from tasks.core.errors import ArtifactError


class Baseline:
    """A reference, read and divided once for all windows that are checked against it."""

    def __init__(self, table: pd.DataFrame, model: Model, params: Params, seed: int):
        """Raises ArtifactError for a table that cannot be compared with."""
        if missing := [name for name in REFERENCE if name not in table]:
            raise ArtifactError(f"the reference lacks the columns {missing}")
        self.model, self.params, self.seed = model, params, seed
        self.sha256 = content_hash(in_order(table, "image_id"))
        self.width = usual_length(table["embedding"])
        rows, is_used_N = read_rows(table, self.width, len(model.classes))
        if not (self.width and is_used_N.all() and len(table) >= params.min_rows):
            raise ArtifactError(
                f"the reference has {int(is_used_N.sum()):,} of {len(table):,} rows with "
                f"embeddings of {self.width} numbers and probabilities of {len(model.classes)} "
                f"classes; expected all, and at least {params.min_rows:,} (monitoring.min_rows)"
            )
        order = np.argsort(table["image_id"].to_numpy(dtype=str), kind="stable")
        self.table, self.rows = table.iloc[order].reset_index(drop=True), rows.take(order)
        self.divided: Reference = divide(self.rows, params, seed)
        self.scale = scale_of(self.divided.distance_N)
        self.features_NF = features_of(
            self.rows.probabilities_NK, self.divided.distance_N, self.scale
        )
        names = np.array(model.classes, dtype=object)
        self.is_right_N = names[self.rows.predicted_N] == self.table["label"].to_numpy(dtype=object)


def comparable(
    baseline: Baseline, window: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Reference and window as a report shows them: `predicted`, `confidence`, and the columns that
    both have, whose names come third.

    Raises ArtifactError where the window cannot be read, or has no usable row.
    """
    if breaches := check_columns(window):
        raise ArtifactError(f"no report: the window {breaches[0].found}")
    decoded = in_order(window, "prediction_id")
    decoded = decoded[~refused(decoded)]
    rows, is_used_M = read_rows(decoded, baseline.width, len(baseline.model.classes))
    if not is_used_M.any():
        raise ArtifactError("no report: the window has no usable predictions")
    names = np.array(baseline.model.classes, dtype=object)
    before, now = (
        table.assign(
            predicted=names[side.predicted_N], confidence=side.probabilities_NK.max(axis=1)
        )
        for table, side in ((baseline.table, baseline.rows), (decoded[is_used_M], rows))
    )
    return before, now, described_columns(baseline.table, window)
