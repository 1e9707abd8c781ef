"""Predictions as monitoring reads them: a row each, in Parquet.

prediction_id (string): of this prediction alone. predicted_at (timestamp, UTC). model_sha256
(string): of the ONNX file that predicted. predicted (string): the class. probabilities (list of
float): calibrated, in the order of the model's classes. embedding (list of float): of the model's
last layer but one. refused (string): "", or why the image could not be used, by the codes of
tasks/core/gate.py; then there is no class and no vector. label (string): the true class, as far as
it is known. Then the measures of tasks/core/measures.py, by their names and types.

All stand in every file but the label and the measures, which may be missing, and any value but the
id, the moment and the model may be null.
Any further columns are metadata, such as a camera or a site. A file may hold any span of time, a
folder several files.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.artifacts.atomic import replacing
from tasks.core.errors import ArtifactError
from tasks.core.measures import Measures

_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string()}
MEASURES = {name: _TYPES[kind] for name, kind in Measures.__annotations__.items()}
_REQUIRED = {
    "prediction_id": pa.string(),
    "predicted_at": pa.timestamp("us", tz="UTC"),
    "model_sha256": pa.string(),
    "predicted": pa.string(),
    "probabilities": pa.list_(pa.float32()),
    "embedding": pa.list_(pa.float32()),
    "refused": pa.string(),
}
SCHEMA = pa.schema(list({**_REQUIRED, "label": pa.string(), **MEASURES}.items()))


def tabulate(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A table of `SCHEMA` and of what metadata the rows have; what a row lacks is null. Metadata
    that are numbers in all rows stay numbers; others become text."""
    more = sorted({name for row in rows for name in row} - set(SCHEMA.names))
    columns = {
        field.name: pa.array([row.get(field.name) for row in rows], field.type) for field in SCHEMA
    }
    for name in more:
        columns[name] = _metadata([row.get(name) for row in rows])
    return pa.table(columns)


def _metadata(values: list[Any]) -> pa.Array:
    given = [value for value in values if value is not None]
    if all(isinstance(value, int | float) for value in given):
        return pa.array(values, pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def save_predictions(table: pa.Table, path: Path) -> None:
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def load_predictions(path: Path, start: datetime, end: datetime) -> pd.DataFrame:
    """The predictions of a file or a folder with start ≤ predicted_at < end, by time.

    Raises ArtifactError if it is missing, no Parquet, or not of the layout.
    """
    if not path.exists():
        raise ArtifactError(f"{path}: does not exist")
    try:
        within = [("predicted_at", ">=", start), ("predicted_at", "<", end)]
        table = pq.read_table(path, filters=within)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ArtifactError(f"{path}: holds no predictions that can be read: {error}") from error
    return to_frame(table, str(path))


def to_frame(table: pa.Table, where: str) -> pd.DataFrame:
    """The same for all sources: every column of `SCHEMA`, then metadata; by time, then by id.

    Raises ArtifactError if a required column is missing, or a column is of another type.
    """
    missing = sorted(set(_REQUIRED) - set(table.column_names))
    if missing:
        raise ArtifactError(f"{where}: lacks the columns {missing}; it has {table.column_names}")
    columns: dict[str, Any] = {}
    for field in SCHEMA:
        if field.name not in table.column_names:
            columns[field.name] = pa.nulls(len(table), field.type)
            continue
        try:
            columns[field.name] = table.column(field.name).cast(field.type)
        except pa.ArrowException as error:
            raise ArtifactError(
                f"{where}: column {field.name}: expected {field.type}: {error}"
            ) from error
    more = [name for name in table.column_names if name not in columns]
    columns |= {name: table.column(name) for name in more}
    frame = pa.table(columns).to_pandas()
    return frame.sort_values(["predicted_at", "prediction_id"], ignore_index=True)
