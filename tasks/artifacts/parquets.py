"""Parquet files that hold images, in the layout of Hugging Face datasets."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.artifacts.cells import text_cell
from tasks.artifacts.folders import Arrival
from tasks.core.errors import SourceError

# What others call the same splits.
_SPLIT_NAMES = {"train": "train", "validation": "val", "val": "val", "test": "test"}
# What Hugging Face datasets writes for an image without a label.
_NO_CLASS = -1


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
            if classes and isinstance(label, int):
                label = _class_name(classes, label, f"{file}: row {number + 1}")
            data = (row["image"] or {}).get("bytes") or b""
            yield Arrival(path, data, text_cell(label, "label", f"{file}: row {number + 1}"), split)
            number += 1


def _class_name(classes: list[str], number: int, where: str) -> str | None:
    if number == _NO_CLASS:
        return None
    if not 0 <= number < len(classes):
        raise SourceError(
            f"{where}: label {number} has no name; its file names {len(classes)} classes, from 0"
        )
    return classes[number]


def _class_names(schema: pa.Schema) -> list[str]:
    # A description of another form is no fault of the images: labels are then taken as they stand.
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return [str(name) for name in described["info"]["features"]["label"]["names"]]
    except (ValueError, KeyError, TypeError):
        return []
