"""Sources that are tables: manifests that name files, and Parquet files that hold images."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.artifacts.folders import SPLITS, Arrival, clean_text, read_file
from tasks.artifacts.tables import read_csv
from tasks.core.errors import SourceError

_REQUIRED, _OPTIONAL = ("path", "label"), ("split", "group", "captured_at", "sha256")
# What others call the same splits.
_SPLIT_NAMES = {"train": "train", "validation": "val", "val": "val", "test": "test"}


def list_manifest(file: Path) -> Iterator[Arrival]:
    """The images that a manifest names, in order of path.

    Raises:
        SourceError: the manifest is missing, malformed, lacks or repeats columns, or has a row
            with an unknown split, a label that is no text, or a path out of its folder. The
            message names the row, counted from 1.
    """
    for where, row in _sorted_rows(file, _REQUIRED):
        yield _arrival(file.parent, row, where)


def list_paths(file: Path) -> Iterator[Arrival]:
    """The images that a table with a column `path` names, whatever its other columns.

    Raises SourceError as `list_manifest` does.
    """
    for where, row in _sorted_rows(file, ("path",)):
        path = _checked_path(file.parent, row["path"], where)
        data, problem = read_file(file.parent / path)
        yield Arrival(path, data, problem=problem)


def _sorted_rows(file: Path, required: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows in order of path, each with where it stands."""
    frame = _load_manifest(file, required)
    if frame.empty:
        raise SourceError(f"{file}: has a header but no rows")
    repeated = frame.loc[frame["path"].duplicated(), "path"]
    if len(repeated):
        raise SourceError(f"{file}: names {repeated.iloc[0]!r} more than once")
    rows: list[dict[str, Any]] = frame.to_dict("records")  # type: ignore[assignment]
    for number in sorted(range(len(rows)), key=lambda index: str(rows[index]["path"])):
        yield f"{file}: row {number + 1}", rows[number]


def _arrival(root: Path, row: dict[str, Any], where: str) -> Arrival:
    path = _checked_path(root, row["path"], where)
    where = f"{where} ({path})"
    split = _text(row.get("split"), "split", where)
    if split is not None and split not in SPLITS:
        raise SourceError(f"{where}: split {split!r} is not one of {list(SPLITS)}")
    data, problem = read_file(root / path)
    expected = _text(row.get("sha256"), "sha256", where)
    if expected and not problem and sha256(data).hexdigest() != expected.lower():
        problem = f"sha256 differs from the manifest's {expected[:12]}…"
    return Arrival(
        path=path,
        data=b"" if problem else data,
        label=_text(row["label"], "label", where),
        split=split,
        group=_text(row.get("group"), "group", where),
        captured_at=_moment(row.get("captured_at"), where),
        problem=problem,
    )


def _load_manifest(file: Path, required: Sequence[str]) -> pd.DataFrame:
    if not file.is_file():
        raise SourceError(f"{file}: no such manifest")
    if file.suffix.lower() == ".parquet":
        try:
            table = pq.read_table(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise SourceError(f"{file}: is not a readable Parquet file: {error}") from error
        _check_columns(file, table.column_names, required)
        return table.to_pandas()
    try:
        frame = read_csv(file)
    except ValueError as error:
        raise SourceError(
            f"{file}: is not a CSV file in UTF-8 with equally long rows: {error}"
        ) from error
    _check_columns(file, list(frame.columns), required)
    return frame


def _check_columns(file: Path, columns: list[str], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in columns]
    if missing:
        raise SourceError(
            f"{file}: lacks the columns {missing}; expected {list(required)} and optionally "
            f"{list(_OPTIONAL)}, found {columns[:20]}"
        )
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise SourceError(f"{file}: has the columns {repeated} more than once")


def _checked_path(root: Path, value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SourceError(f"{where}: path {value!r} is not text")
    path = PurePosixPath(value)
    if "\0" in value or "\\" in value or path.is_absolute() or ".." in path.parts:
        raise SourceError(
            f"{where}: path {value!r} must be relative to {root}, without '..', backslash or NUL"
        )
    real_root = os.path.realpath(root)
    if not os.path.realpath(root / path).startswith(real_root + os.sep):
        raise SourceError(f"{where}: path {value!r} leads out of {root} through a link")
    return str(path)


def _text(value: Any, column: str, where: str) -> str | None:
    """Text of a cell, None if it is empty. Whole numbers count as text, other types do not."""
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise SourceError(f"{where}: {column} {value!r} is {type(value).__name__}, expected text")
    return clean_text(value) or None


def _moment(value: Any, where: str) -> str | None:
    """A moment as ISO 8601 in UTC; moments without a zone are taken as UTC."""
    if isinstance(value, pd.Timestamp):
        moment = value.to_pydatetime(warn=False)
    else:
        text = _text(value, "captured_at", where)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise SourceError(f"{where}: captured_at {text!r} is not ISO 8601") from None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        return zoned.astimezone(UTC).isoformat(timespec="seconds")
    except OverflowError:
        raise SourceError(f"{where}: captured_at {value!r} lies out of all years") from None


def list_parquet(root: Path) -> Iterator[Arrival]:
    """The images of Parquet files with a column `image` of `{bytes, path}` and optionally `label`.

    Raises SourceError if nothing is there or a file is of another layout.
    """
    files = [root] if root.is_file() else sorted(root.glob("**/*.parquet"))
    if not files:
        raise SourceError(f"{root}: no such file, and no folder with .parquet files")
    for file in files:
        name = file.name if root.is_file() else file.relative_to(root).as_posix()
        try:
            yield from _stored_images(pq.ParquetFile(file), file, name)
        except (pa.ArrowInvalid, OSError) as error:
            raise SourceError(f"{file}: is not a readable Parquet file: {error}") from error


def _stored_images(opened: pq.ParquetFile, file: Path, name: str) -> Iterator[Arrival]:
    columns = opened.schema_arrow
    layout = columns.field("image").type if "image" in columns.names else None
    if layout is None or not pa.types.is_struct(layout) or layout.get_field_index("bytes") < 0:
        raise SourceError(
            f"{file}: expected a column `image` of {{bytes, path}}, found {columns.names[:20]}"
        )
    split = _SPLIT_NAMES.get(file.stem.split("-")[0])
    classes = _class_names(columns)
    wanted = [column for column in ("image", "label") if column in columns.names]
    number = 0
    for batch in opened.iter_batches(batch_size=256, columns=wanted):
        for row in batch.to_pylist():
            path = f"{name}/{number:08d}"
            label = row.get("label")
            if classes and isinstance(label, int) and 0 <= label < len(classes):
                label = classes[label]
            data = (row["image"] or {}).get("bytes") or b""
            yield Arrival(path, data, _text(label, "label", f"{file}: row {number + 1}"), split)
            number += 1


def _class_names(schema: pa.Schema) -> list[str]:
    # A description of another form is no fault of the images: labels are then taken as they stand.
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return [str(name) for name in described["info"]["features"]["label"]["names"]]
    except (ValueError, KeyError, TypeError):
        return []
