"""The database behind the store: opened, brought up to its layout, written."""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Dialect, Engine
from sqlalchemy.exc import DBAPIError

from monitoring.tables import CHECKS, DELIVERIES, EPISODES, METADATA
from tasks.core.errors import ArtifactError

# SQLite hands the interpreter's lock back and forth once a statement, and with it that of whoever
# else waits in this process: so few statements for many rows, of lengths that are prepared once.
_ROWS_AT_A_TIME = (100, 10, 1)
# Any number that no other program locks in this database: the letters of the name.
_LOCK = int.from_bytes(b"tilth")


def open_engine(url: URL) -> Engine:
    """With all tables. Raises SQLAlchemyError or OSError."""
    alone: AbstractContextManager[None]
    if url.drivername == "sqlite":
        folder = Path(str(url.database)).parent
        folder.mkdir(parents=True, exist_ok=True)
        alone = _alone_in(folder)
        engine = create_engine(url, connect_args={"timeout": 10})
        # Readers and the one writer do not wait for each other.
        event.listen(engine, "connect", _use_wal)
    else:
        engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 5})
        alone = _alone_on(engine)
    try:
        with alone:
            METADATA.create_all(engine)
            _add_indices(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """While others wait who open a store there: SQLite has two that make the same table at once
    fail, and two that begin to write ahead."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


@contextmanager
def _alone_on(engine: Engine) -> Iterator[None]:
    """As in a folder: PostgreSQL locks a table once it is there, not while it is made."""
    with engine.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        yield


def _add_indices(engine: Engine) -> None:
    """Those that a store made by an earlier version lacks. Of the tables that are small: an index
    of all predictions would keep everybody waiting."""
    for table in (CHECKS, EPISODES, DELIVERIES):
        for index in table.indexes:
            # Who may only read, reads on, more slowly; another process may be as quick.
            with suppress(DBAPIError):
                index.create(engine, checkfirst=True)


def _use_wal(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """All of the same columns, as the driver takes them; what is there already stays as it is.

    Raises ArtifactError for a column that the table lacks.
    """
    if not rows:
        return
    # Around the toolkit, which would spend more on a row than the database does.
    text, names = _inserting(connection.dialect, table, tuple(rows[0]))
    if names is None:
        connection.exec_driver_sql(text, list(rows))
        return
    place, given = itemgetter(*names), iter(rows)
    head, values, tail = text.partition(f"({', '.join('?' * len(names))})")
    left = len(rows)
    for size in _ROWS_AT_A_TIME:
        statement = f"{head}{', '.join([values] * size)}{tail}"
        for _ in range(left // size):
            placed = chain.from_iterable(map(place, islice(given, size)))
            connection.exec_driver_sql(statement, tuple(placed))
        left %= size


@lru_cache(maxsize=32)
def _inserting(
    dialect: Dialect, table: Table, columns: tuple[str, ...]
) -> tuple[str, Sequence[str] | None]:
    """The statement for a row, and the order in which it takes its values: None where it takes
    them by name."""
    if unknown := sorted({*columns} - {*table.c.keys()}):
        raise ArtifactError(f"the table {table.name} has no columns {unknown}")
    statement = _insertion(dialect).insert(table).on_conflict_do_nothing()
    compiled = statement.compile(dialect=dialect, column_keys=columns)
    return str(compiled), compiled.positiontup


def save(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], newer: str = ""
) -> None:
    """Inserts, or takes the place of what has the same key: if `newer` names a column, only where
    what is there is not newer."""
    if not rows:
        return
    statement = _insertion(connection.dialect).insert(table)
    keys = [column.name for column in table.primary_key]
    given = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    where = table.c[newer] <= statement.excluded[newer] if newer else None
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=given, where=where), rows
    )


def _insertion(dialect: Dialect) -> Any:
    return postgresql if dialect.name == "postgresql" else sqlite
