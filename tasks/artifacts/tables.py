"""Tables: Parquet between stages, CSV where people edit."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

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
    except pa.ArrowInvalid as error:
        raise ArtifactError(f"{path}: is not a readable Parquet file: {error}") from error


def save_csv(frame: pd.DataFrame, path: Path) -> None:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it
    (https://owasp.org/www-community/attacks/CSV_Injection)."""
    texts = frame.select_dtypes(["object", "string"])
    defused = {name: texts[name].map(_defused, na_action="ignore") for name in texts.columns}
    with replacing(path) as temporary:
        frame.assign(**defused).to_csv(temporary, index=False, lineterminator="\n")


def _defused(text: object) -> object:
    risky = isinstance(text, str) and text.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{text}" if risky else text


def save_rows(rows: np.ndarray, path: Path) -> None:
    """Row indices into the manifest, int64, shape (N,)."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.asarray(rows, dtype=np.int64), allow_pickle=False)


def load_rows(path: Path) -> np.ndarray:
    """Raises ArtifactError if the file is missing or holds no row indices."""
    try:
        rows = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: does not exist") from None
    except ValueError as error:
        raise ArtifactError(f"{path}: is not a readable .npy file: {error}") from error
    if rows.ndim != 1 or rows.dtype != np.int64:
        raise ArtifactError(
            f"{path}: holds {rows.dtype} of shape {rows.shape}, expected int64 (N,)"
        )
    return rows


def load_csv(path: Path) -> pd.DataFrame:
    """All cells as text. Raises ArtifactError if the file is missing or is not CSV."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise ArtifactError(f"{path}: does not exist") from None
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ArtifactError(f"{path}: is not a readable CSV file in UTF-8: {error}") from error
