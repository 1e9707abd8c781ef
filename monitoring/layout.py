"""Where predictions to watch are read from: the service's own store, another database of the same
tables (monitoring/tables.py), or Parquet (tasks/artifacts/predictions.py, which lists the columns).
"""

from datetime import datetime
from pathlib import Path

import pandas as pd

from monitoring.store import Store, parse_store
from tasks.artifacts.predictions import load_predictions
from tasks.core.errors import ArtifactError


def load_window(source: str | Path, start: datetime, end: datetime) -> pd.DataFrame:
    """Predictions with start ≤ predicted_at < end, by time; `source` is a Parquet file, a folder
    of them, or the address of a store (`sqlite:///…`, `postgresql://…`).

    Vectors are float32 arrays; what is not known is null. A label comes with the prediction however
    late it was told.

    Raises:
        ArtifactError: it is missing, cannot be read, or is not of the layout.
        ParamsError: the address is none, or a moment lacks its time zone.
    """
    is_file = "://" not in str(source) and not str(source).startswith(("env:", "file:"))
    if isinstance(source, Path) or is_file:
        return load_predictions(Path(source), start, end)
    store = open_store(source)
    try:
        return store.load_window(start, end)
    finally:
        store.close()


def open_store(source: str) -> Store:
    """A store to read, which is there, from its address or where that stands (env:, file:).

    Raises ArtifactError or ParamsError.
    """
    url = parse_store(source)
    if url.drivername == "sqlite" and not Path(str(url.database)).is_file():
        raise ArtifactError(f"{url.database}: does not exist")
    return Store(url)
