"""Tables: Parquet between stages, CSV where people edit."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.artifacts.arrays import load_array, save_array
from tasks.artifacts.atomic import replacing
from tasks.core.errors import ArtifactError


def save_table(frame: pd.DataFrame, path: Path) -> None:
    """Writes without an index; the same frame gives the same bytes."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def load_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Raises ArtifactError if the file is missing, torn, or lacks one of `columns`."""
    try:
        present = pq.read_schema(path).names
        missing = sorted(set(columns or ()) - set(present))
        if missing:
            raise ArtifactError(f"{path}: lacks the columns {missing}; it has {present}")
        return pq.read_table(path, columns=columns).to_pandas()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: does not exist") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise ArtifactError(f"{path}: is not a readable Parquet file: {error}") from error


def save_csv(frame: pd.DataFrame, path: Path) -> None:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it
    (https://owasp.org/www-community/attacks/CSV_Injection)."""
    texts = frame.select_dtypes(["object", "string", "category"])
    defused = {name: texts[name].map(_defused, na_action="ignore") for name in texts.columns}
    with replacing(path) as temporary:
        frame.assign(**defused).to_csv(temporary, index=False, lineterminator="\n")


def _defused(text: object) -> object:
    if not isinstance(text, str):
        return text
    # A lone carriage return is written without quotes, and begins a row for a spreadsheet.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\n")) else text


def save_rows(rows: np.ndarray, path: Path) -> None:
    """Row indices into the manifest, int64, shape (N,)."""
    save_array(np.asarray(rows, dtype=np.int64), path)


def load_rows(path: Path) -> np.ndarray:
    """Raises ArtifactError if the file is missing or holds no row indices."""
    return load_array(path, np.int64, "N")


def load_csv(path: Path) -> pd.DataFrame:
    """All cells as text. Raises ArtifactError if the file is missing or is not CSV."""
    try:
        return read_csv(path)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: does not exist") from None
    except ValueError as error:
        raise ArtifactError(f"{path}: is not a readable CSV file in UTF-8: {error}") from error


def read_csv(path: Path) -> pd.DataFrame:
    """All cells as text. pandas would pad short rows, shift or cut long ones, and end cells at NUL.

    Raises ValueError for text that is not UTF-8, no header, a quote that is never closed, and rows
    that are not as long as the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            header, *rows = [row for row in csv.reader(lines, strict=True) if row] or [[]]
    except csv.Error as error:
        raise ValueError(str(error)) from error
    if not header:
        raise ValueError("it is empty")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, its header {len(header)}")
    return pd.DataFrame(rows, columns=header, dtype=str)
