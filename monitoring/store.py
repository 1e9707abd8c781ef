"""The store of predictions and of what was found in them: SQLite by default, or PostgreSQL."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Select, Table, create_engine, delete, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from monitoring.journal import Record
from monitoring.references import read_reference
from monitoring.tables import FEEDBACK, MEASURES, METADATA, PREDICTIONS, REQUESTS
from tasks.artifacts.predictions import tabulate, to_frame
from tasks.core.errors import ArtifactError, ParamsError

DEFAULT_STORE = "sqlite:///runs/monitoring/store.sqlite"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHUNK = 500
_DELETED_AT_A_TIME = 2000
_VECTORS = ("probabilities", "embedding")


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970. Raises ParamsError for a moment without a time zone."""
    if moment.tzinfo is None:
        raise ParamsError(f"{moment}: names no time zone, so it is no moment")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def parse_store(text: str) -> URL:
    """The address of a store, or where it stands (`env:NAME`, `file:/path`).

    Raises ParamsError for one of another kind; what was given is told to nobody, as it may hold a
    password.
    """
    if text.startswith(("env:", "file:")):
        text = read_reference(text, "the store")
    try:
        url = make_url(text)
    except (SQLAlchemyError, ValueError):
        raise ParamsError("the store: is no address; expected postgresql://…") from None
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite" and url.database not in (None, "", ":memory:"):
        return url
    if url.drivername == "postgresql+psycopg":
        return url
    raise ParamsError(f"the store: {url.drivername}: expected postgresql://… or sqlite:///<file>")


class Store:
    """Opened when it is first used; a database that is not there yet, or not any more, may come."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine: Engine | None = None

    def add(self, records: Sequence[Record]) -> None:
        """Writes what the journal tells; records that are there already change nothing.

        Raises ArtifactError if the database cannot be reached or written; then all may be tried
        again.
        """
        with self._writing() as connection:
            for some in _chunks(records):
                rows = _rows_of(some)
                for table in (REQUESTS, PREDICTIONS, MEASURES):
                    _insert(connection, table, rows[table.name])
                _save(connection, FEEDBACK, rows["feedback"], newer="given_at")

    def save(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes rows of any table, in place of those with the same key. Raises ArtifactError."""
        with self._writing() as connection:
            _save(connection, table, rows)

    def load(self, table: Table, **equal: Any) -> list[dict[str, Any]]:
        """The rows of a table whose columns have the given values, in order of their keys. Raises
        ArtifactError."""
        chosen = select(table).order_by(*table.primary_key)
        for name, value in equal.items():
            chosen = chosen.where(table.c[name] == value)
        return self.select(chosen)

    def select(self, chosen: Select[Any]) -> list[dict[str, Any]]:
        """What a query of ours gives. Raises ArtifactError."""
        with self._writing() as connection:
            return [dict(row) for row in connection.execute(chosen).mappings()]

    def load_window(self, start: datetime, end: datetime) -> pd.DataFrame:
        """Predictions with start ≤ predicted_at < end, as `tasks/artifacts/predictions.py` lays
        them out. Raises ArtifactError."""
        at = PREDICTIONS.c.predicted_at
        chosen = (
            select(
                PREDICTIONS,
                FEEDBACK.c.label,
                *(column for column in MEASURES.c if not column.primary_key),
            )
            .outerjoin(MEASURES, MEASURES.c.prediction_id == PREDICTIONS.c.prediction_id)
            .outerjoin(FEEDBACK, FEEDBACK.c.prediction_id == PREDICTIONS.c.prediction_id)
            .where(at >= to_micros(start), at < to_micros(end))
        )
        with self._writing() as connection:
            rows = [_watched(dict(row)) for row in connection.execute(chosen).mappings()]
        return to_frame(tabulate(rows), self._url.render_as_string())

    def delete_old(self, before: datetime, keep_rows: int) -> int:
        """Deletes what was predicted before a moment, and the oldest beyond `keep_rows`; a part at
        a time, so that nobody waits long. Gives the number of predictions that went."""
        at = PREDICTIONS.c.predicted_at
        oldest = to_micros(before)
        with self._writing() as connection:
            beyond = select(at).order_by(at.desc()).offset(keep_rows - 1).limit(1)
            kept = connection.execute(beyond).scalar()
        oldest = oldest if kept is None else max(oldest, kept)
        num_deleted = 0
        while deleted := self._delete_some(oldest):
            num_deleted += deleted
        return num_deleted

    def _delete_some(self, oldest: int) -> int:
        old = (
            select(PREDICTIONS.c.prediction_id)
            .where(PREDICTIONS.c.predicted_at < oldest)
            .order_by(PREDICTIONS.c.predicted_at)
            .limit(_DELETED_AT_A_TIME)
        )
        with self._writing() as connection:
            ids = list(connection.execute(old).scalars())
            for table in (MEASURES, FEEDBACK, PREDICTIONS) if ids else ():
                connection.execute(delete(table).where(table.c.prediction_id.in_(ids)))
            if not ids:
                # Feedback may name predictions that never were.
                connection.execute(delete(REQUESTS).where(REQUESTS.c.received_at < oldest))
                connection.execute(delete(FEEDBACK).where(FEEDBACK.c.given_at < oldest))
        return len(ids)

    def count(self) -> int:
        """Predictions in the store. Raises ArtifactError."""
        with self._writing() as connection:
            return connection.execute(select(func.count()).select_from(PREDICTIONS)).scalar_one()

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            if self._engine is None:
                self._engine = _opened(self._url)
            with self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise ArtifactError(f"the store {self._url!r}: {self._said(error)}") from None

    def _said(self, error: Exception) -> str:
        cause = getattr(error, "orig", None) or error
        said = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        return said.replace(str(self._url.password), "***") if self._url.password else said


def _opened(url: URL) -> Engine:
    if url.drivername == "sqlite":
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, connect_args={"timeout": 10})
        # Readers and the one writer do not wait for each other.
        event.listen(engine, "connect", _use_wal)
    else:
        engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 5})
    try:
        METADATA.create_all(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _use_wal(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _chunks(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    for start in range(0, len(records), _CHUNK):
        yield records[start : start + _CHUNK]


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(_dialect(connection).insert(table).on_conflict_do_nothing(), rows)


def _save(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], newer: str = ""
) -> None:
    """Inserts, or takes the place of what has the same key: if `newer` names a column, only where
    what is there is not newer."""
    if not rows:
        return
    statement = _dialect(connection).insert(table)
    keys = [column.name for column in table.primary_key]
    given = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    where = table.c[newer] <= statement.excluded[newer] if newer else None
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=given, where=where), rows
    )


def _dialect(connection: Connection) -> Any:
    return postgresql if connection.dialect.name == "postgresql" else sqlite


def encode_vector(vector: np.ndarray | None) -> str | None:
    """float32 in base64, for the journal."""
    if vector is None:
        return None
    return b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode("ascii")


def _rows_of(records: Sequence[Record]) -> dict[str, list[dict[str, Any]]]:
    """What each table is to get of records of the journal."""
    rows: dict[str, list[dict[str, Any]]] = {
        "requests": [], "predictions": [], "measures": [], "feedback": [],
    }  # fmt: skip
    for record in records:
        if "feedback" in record:
            rows["feedback"].append(record["feedback"])
            continue
        prediction = dict(record["prediction"])
        for name in _VECTORS:
            text = prediction[name]
            prediction[name] = None if text is None else b64decode(text)
        rows["predictions"].append(prediction)
        rows["requests"].append(record["request"])
        if record["measures"] is not None:
            identity = {"prediction_id": prediction["prediction_id"]}
            rows["measures"].append(identity | record["measures"])
    return rows


def _watched(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the tables as one of the layout."""
    for name in _VECTORS:
        row[name] = None if row[name] is None else np.frombuffer(row[name], "<f4")
    row["predicted_at"] = _EPOCH + timedelta(microseconds=row["predicted_at"])
    metadata = json.loads(row.pop("metadata") or "{}")
    for name in ("request_id", "seconds", "abstained", "kept"):
        del row[name]
    return metadata | row
