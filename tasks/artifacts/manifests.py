"""Manifests: tables in CSV or Parquet that name files."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.artifacts.archives import ENDINGS
from tasks.artifacts.cells import check_length, moment_cell, shown, text_cell
from tasks.artifacts.folders import SPLITS, Arrival, read_file
from tasks.artifacts.tables import read_csv
from tasks.core.errors import SourceError

_REQUIRED, _OPTIONAL = ("path", "label"), ("split", "group", "captured_at", "sha256")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def list_manifest(file: Path) -> Iterator[Arrival]:
    """The images that a manifest names, in order of path.

    Raises:
        SourceError: the manifest is missing, malformed, lacks or repeats columns, or has a row
            with an unknown split, a label that is no text, a sha256 that is none, or a path that
            leads out of its folder or stands in another row too. The message names the row,
            counted from 1.
    """
    for where, path, row in _sorted_rows(file, _REQUIRED, _OPTIONAL):
        yield _arrival(file.parent, path, row, where)


def list_paths(file: Path) -> Iterator[Arrival]:
    """The images that a table with a column `path` names, whatever its other columns.

    Raises SourceError as `list_manifest` does.
    """
    for _, path, _ in _sorted_rows(file, ("path",)):
        data, problem = read_file(file.parent / path)
        yield Arrival(path, data, problem=problem)


def _sorted_rows(
    file: Path, required: Sequence[str], optional: Sequence[str] = ()
) -> list[tuple[str, str, dict[str, Any]]]:
    """Rows in order of path, each with where it stands and its path, once."""
    frame = _load_manifest(file, required, optional)
    if frame.empty:
        raise SourceError(f"{file}: has a header but no rows")
    rows: list[tuple[str, str, dict[str, Any]]] = []
    seen: set[str] = set()
    records: list[dict[str, Any]] = frame.to_dict("records")  # type: ignore[assignment]
    for number, row in enumerate(records, start=1):
        where = f"{file}: row {number}"
        path = _checked_path(file.parent, row["path"], where)
        if path in seen:
            raise SourceError(f"{where}: names {path!r}, which a row before it does")
        seen.add(path)
        rows.append((where, path, row))
    return sorted(rows, key=lambda found: found[1])


def _arrival(root: Path, path: str, row: dict[str, Any], where: str) -> Arrival:
    where = f"{where} ({path})"
    split = text_cell(row.get("split"), "split", where)
    if split is not None and split not in SPLITS:
        raise SourceError(f"{where}: split {shown(split)} is not one of {list(SPLITS)}")
    stated = text_cell(row.get("sha256"), "sha256", where)
    if stated and not _SHA256.fullmatch(stated):
        raise SourceError(f"{where}: sha256 {shown(stated)} is not 64 hexadecimal digits")
    data, problem = read_file(root / path)
    if stated and not problem:
        problem = _wrong_hash(data, stated.lower())
    return Arrival(
        path=path,
        data=b"" if problem else data,
        label=text_cell(row["label"], "label", where),
        split=split,
        group=text_cell(row.get("group"), "group", where),
        captured_at=moment_cell(row.get("captured_at"), where),
        problem=problem,
    )


def _wrong_hash(data: bytes, stated: str) -> str:
    """The problem of a file that is not the one that was meant; empty if it is."""
    found = sha256(data).hexdigest()
    if found == stated:
        return ""
    return f"wrong_hash: sha256 is {found}; the manifest states {stated}"


def _load_manifest(file: Path, required: Sequence[str], optional: Sequence[str]) -> pd.DataFrame:
    if not file.is_file():
        raise SourceError(f"{file}: no such manifest")
    if file.name.lower().endswith(ENDINGS):
        raise SourceError(f"{file}: is an archive, as only the root of a `folder` may be")
    if file.suffix.lower() == ".parquet":
        try:
            table = pq.read_table(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise SourceError(f"{file}: is not a readable Parquet file: {error}") from error
        _check_columns(file, table.column_names, required, optional)
        # Whole numbers would become fractions where a cell of the column is empty.
        return table.to_pandas(integer_object_nulls=True)
    try:
        frame = read_csv(file)
    except ValueError as error:
        raise SourceError(
            f"{file}: is not a CSV file in UTF-8 with equally long rows: {error}"
        ) from error
    _check_columns(file, list(frame.columns), required, optional)
    return frame


def _check_columns(
    file: Path, columns: list[str], required: Sequence[str], optional: Sequence[str]
) -> None:
    missing = [name for name in required if name not in columns]
    if missing:
        raise SourceError(
            f"{file}: lacks the columns {missing}; expected {list(required)} and optionally "
            f"{list(optional)}, found {columns[:20]}"
        )
    known = (*required, *optional)
    meant = [name for name in columns if name not in known and name.strip().lower() in known]
    if meant:
        raise SourceError(
            f"{file}: has the columns {meant}, which would not be read; expected names in lower "
            "case without space around them"
        )
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise SourceError(f"{file}: has the columns {repeated} more than once")


def _checked_path(root: Path, value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SourceError(f"{where}: path {shown(value)} is not text")
    check_length(value, "path", where)
    path = PurePosixPath(value)
    if "\0" in value or "\\" in value or path.is_absolute() or ".." in path.parts:
        raise SourceError(
            f"{where}: path {shown(value)} must be relative to {root}, without '..', backslash or "
            "NUL"
        )
    real_root = os.path.realpath(root)
    if not os.path.realpath(root / path).startswith(real_root + os.sep):
        raise SourceError(f"{where}: path {shown(value)} leads out of {root} through a link")
    return str(path)
