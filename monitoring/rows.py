"""What a check reads from tables of predictions: arrays, and marks for what cannot be used.

N rows, D width of the embedding, K classes
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.core.errors import ArtifactError

# Columns that are no measure and no metadata, of a reference and of a window.
REFERENCE = ("image_id", "label", "embedding", "probabilities")
WINDOW = (
    "prediction_id", "predicted_at", "model_sha256", "predicted", "probabilities", "embedding",
    "refused", "label",
)  # fmt: skip
# How far from 1 the sum of probabilities may lie: they may come rounded.
_SUM_SLACK = 0.01


class Rows(NamedTuple):
    """Embeddings float32 (N, D) and calibrated probabilities (N, K), all finite."""

    embeddings_ND: np.ndarray
    probabilities_NK: np.ndarray

    @property
    def predicted_N(self) -> np.ndarray:
        return self.probabilities_NK.argmax(axis=1)

    def take(self, rows: np.ndarray) -> "Rows":
        return Rows(self.embeddings_ND[rows], self.probabilities_NK[rows])


def read_rows(table: pd.DataFrame, width: int, num_classes: int) -> tuple[Rows, np.ndarray]:
    """The rows of a table that can be used, and which these are: bool (N,).

    A row is of no use whose embedding or probabilities are missing, of another length or not
    finite, or whose probabilities are none.
    """
    embeddings_ND = stack_vectors(table["embedding"], width)
    probabilities_NK = stack_vectors(table["probabilities"], num_classes)
    with np.errstate(invalid="ignore", over="ignore"):
        is_used_N = (
            np.isfinite(embeddings_ND.astype(np.float32)).all(axis=1)
            & (probabilities_NK >= 0).all(axis=1)
            & (np.abs(probabilities_NK.sum(axis=1) - 1) <= _SUM_SLACK)
        )
    return Rows(embeddings_ND[is_used_N].astype(np.float32), probabilities_NK[is_used_N]), is_used_N


def stack_vectors(cells: pd.Series, width: int) -> np.ndarray:
    """Lists as rows of an array (N, width), NaN where a cell is none or of another length."""
    stacked = np.full((len(cells), width), np.nan)
    fitting = [number for number, cell in enumerate(cells) if vector_length(cell) == width]
    if fitting:
        stacked[fitting] = np.concatenate(
            [np.asarray(cells.iat[number], dtype=np.float64) for number in fitting]
        ).reshape(len(fitting), width)
    return stacked


def vector_length(cell: object) -> int:
    """-1 for what is no list of numbers."""
    if isinstance(cell, np.ndarray):
        return len(cell) if cell.ndim == 1 and cell.dtype.kind in "fiu" else -1
    if isinstance(cell, list | tuple) and all(isinstance(x, int | float) for x in cell):
        return len(cell)
    return -1


def in_order(table: pd.DataFrame, key: str) -> pd.DataFrame:
    """By id, so that nothing hangs on the order in which rows were read."""
    return table.sort_values(key, kind="stable", ignore_index=True)


def usual_length(cells: pd.Series) -> int:
    """Of the vectors of a reference, the length that the first has; 0 where there is none."""
    return max(0, vector_length(cells.iat[0])) if len(cells) else 0


def described_columns(reference: pd.DataFrame, window: pd.DataFrame) -> list[str]:
    """Measures and metadata that both have."""
    own = {*REFERENCE, *WINDOW}
    return sorted(str(name) for name in reference.columns if name in window and name not in own)


def content_hash(table: pd.DataFrame) -> str:
    """SHA-256 of a table's cells, whatever the file it came in and the order of its columns.

    Raises ArtifactError for a column of cells of several kinds.
    """
    places = np.argsort(np.array(table.columns, dtype=str), kind="stable")
    try:
        columns = [arrow_column(table.iloc[:, place]) for place in places]
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ArtifactError(f"a column has cells of several kinds: {error}") from error
    plain = pa.Table.from_arrays(columns, [str(table.columns[place]) for place in places])
    digest = hashlib.sha256()
    with pa.ipc.new_stream(_Digested(digest), plain.schema) as stream:
        stream.write_table(plain)
    return digest.hexdigest()


def arrow_column(cells: pd.Series) -> Any:
    try:
        return pa.array(cells, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Arrays of several widths of float, as where windows of several writers were joined.
        plain = [cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in cells]
        return pa.array(plain, from_pandas=True)


class _Digested:
    """A file to write to that keeps nothing."""

    closed = False

    def __init__(self, digest: "hashlib._Hash"):
        self.write = digest.update

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def sample_rows(count: int, most: int, seeds: Sequence[int]) -> np.ndarray:
    """All of `count` rows, or `most` of them at random, in order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(list(seeds)).choice(count, most, replace=False))
