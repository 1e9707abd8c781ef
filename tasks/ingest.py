"""Stage ingest: sources → an index of all images and shards that hold their bytes."""

import gc
from collections import Counter
from pathlib import Path
from typing import Annotated, NamedTuple

import pandas as pd
from pydantic import Field, field_validator

from tasks.artifacts.atomic import replacing_folder
from tasks.artifacts.folders import Arrival
from tasks.artifacts.images import RawImage
from tasks.artifacts.shards import ShardWriter
from tasks.artifacts.sources import Source, arrivals
from tasks.artifacts.tables import save_table
from tasks.core.errors import SourceError
from tasks.core.hashing import content_id
from tasks.core.metadata import strip_metadata
from tasks.core.names import SourceName, find_lookalikes
from tasks.core.params import Section
from tasks.progress import progress

INDEX_COLUMNS = [
    "image_id", "label", "group", "split", "path", "captured_at", "problem", "shard", "row",
]  # fmt: skip


class Params(Section):
    sources: Annotated[dict[SourceName, Source], Field(min_length=1)]
    keep_metadata: bool
    shard_bytes: Annotated[int, Field(ge=100_000)]

    @field_validator("sources")
    @classmethod
    def _can_be_told_apart(cls, sources: dict[str, Source]) -> dict[str, Source]:
        if alike := find_lookalikes(sources):
            raise ValueError(
                f"{alike[0]!r} and {alike[1]!r} differ in case, space or form alone; expected "
                "names further apart"
            )
        return sources


class Ingested(NamedTuple):
    """`index`: one row per image. `faults`: one row per planted fault, with the true label."""

    index: pd.DataFrame
    faults: pd.DataFrame


def main(out_index: Path, out_shards: Path, out_faults: Path, params: Params) -> None:
    # What is read stays until the end, and the collector would walk over it again and again.
    gc.disable()
    try:
        with replacing_folder(out_shards) as folder:
            ingested = ingest(params, ShardWriter(folder, params.shard_bytes))
    finally:
        gc.enable()
    save_table(ingested.index, out_index)
    save_table(ingested.faults, out_faults)


def ingest(params: Params, writer: ShardWriter) -> Ingested:
    """Reads all sources in order of their names and hands every image to `writer`.

    Raises SourceError as the sources do.
    """
    seen: Counter[str] = Counter()
    rows: list[tuple] = []
    faults: list[tuple] = []
    for name, source in sorted(params.sources.items()):
        num_before = len(rows)
        for arrival in progress(arrivals(source), None, f"ingest {name}"):
            data = arrival.data if params.keep_metadata else strip_metadata(arrival.data)
            image_id = _image_id(data, arrival, seen)
            writer.add(RawImage(image_id, data, arrival.path.rsplit("/", 1)[-1]))
            rows.append((image_id, *_described(name, arrival)))
            if arrival.fault:
                faults.append((image_id, arrival.fault, arrival.true_label))
        if len(rows) == num_before:
            raise SourceError(f"source {name!r}: holds no image")
    index = pd.DataFrame(rows, columns=INDEX_COLUMNS[:-2], dtype="string")
    places = pd.DataFrame(writer.finish(), columns=INDEX_COLUMNS[-2:])
    return Ingested(
        pd.concat([index, places.astype({"shard": "string", "row": "int64"})], axis=1),
        pd.DataFrame(faults, columns=["image_id", "fault", "true_label"], dtype="string"),
    )


def _image_id(data: bytes, arrival: Arrival, seen: Counter[str]) -> str:
    """The content's hash; equal files are told apart by their number in order of path."""
    content = content_id(data if data else arrival.path.encode())
    seen[content] += 1
    return content if seen[content] == 1 else f"{content}-{seen[content]}"


def _described(source: str, arrival: Arrival) -> tuple:
    return (
        arrival.label,
        arrival.group,
        arrival.split,
        f"{source}/{arrival.path}",
        arrival.captured_at,
        arrival.problem,
    )
