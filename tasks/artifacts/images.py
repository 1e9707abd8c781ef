"""Images on disk: raw files in Parquet shards, canonical pixels in `.npy` shards.

N images, H height, W width, C channels
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.artifacts.arrays import save_array
from tasks.core.errors import ArtifactError

_FEATURES = {
    "image_id": {"dtype": "string", "_type": "Value"},
    "image": {"_type": "Image"},
}
# The layout that Hugging Face datasets reads as images without a conversion.
RAW_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}}, sort_keys=True)},
)


class RawImage(NamedTuple):
    """One file as it came, less its metadata."""

    image_id: str
    data: bytes
    name: str


def raw_table(group: list[RawImage]) -> pa.Table:
    """One row per image, in the layout of `RAW_SCHEMA`."""
    image_ids, data, names = zip(*group, strict=True)
    images = pa.StructArray.from_arrays(
        [pa.array(data, pa.binary()), pa.array(names, pa.string())], names=["bytes", "path"]
    )
    return pa.Table.from_arrays([pa.array(image_ids, pa.string()), images], schema=RAW_SCHEMA)


def num_row_groups(path: Path) -> int:
    """Raises ArtifactError if the shard is torn."""
    try:
        return pq.read_metadata(path).num_row_groups
    except (pa.ArrowInvalid, OSError) as error:
        raise ArtifactError(f"{path}: is not a readable shard: {error}") from error


def load_ids(path: Path, group: int) -> list[str]:
    """The ids of one row group's images, in order."""
    table = pq.ParquetFile(path).read_row_group(group, columns=["image_id"])
    return table.column("image_id").to_pylist()


def load_row_group(path: Path, group: int) -> Iterator[RawImage]:
    """The images of one row group, in order.

    Raises ArtifactError if the shard is torn.
    """
    try:
        table = pq.ParquetFile(path).read_row_group(group)
    except (pa.ArrowInvalid, OSError) as error:
        raise ArtifactError(f"{path}: is not a readable shard: {error}") from error
    images = table.column("image").combine_chunks()
    columns = (table.column("image_id"), images.field("bytes"), images.field("path"))
    for image_id, data, name in zip(*columns, strict=True):
        yield RawImage(image_id.as_py(), data.as_py(), name.as_py())


def load_some(path: Path, image_ids: frozenset[str]) -> Iterator[RawImage]:
    """The images of a shard that are named, in order."""
    for group in range(num_row_groups(path)):
        if not image_ids.isdisjoint(load_ids(path, group)):
            images = load_row_group(path, group)
            yield from (image for image in images if image.image_id in image_ids)


def save_pixels(images_NHWC: np.ndarray, path: Path) -> None:
    save_array(images_NHWC, path)


class Images:
    """Canonical pixels of a whole data set: uint8 (N, H, W, C), read through memory maps.

    Rows are numbered through the shards in order of their names, as the manifest's are.
    """

    def __init__(self, folder: Path):
        """Raises ArtifactError if there is no shard or the shards disagree in shape."""
        self._folder = folder
        paths = sorted(folder.glob("*.npy"))
        if not paths:
            raise ArtifactError(f"{folder}: holds no .npy shard")
        self._shards = [_mapped(path) for path in paths]
        shapes = {shard.shape[1:] for shard in self._shards}
        if len(shapes) > 1:
            raise ArtifactError(f"{folder}: shards differ in shape: {sorted(shapes)}")
        self.image_shape: tuple[int, int, int] = shapes.pop()
        self._ends = np.cumsum([len(shard) for shard in self._shards])

    def __reduce__(self):
        # To another process goes the name of the folder: a memory map would be copied into it.
        return Images, (self._folder,)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """A copy of the images at `rows` (any order, repeats allowed): uint8 (len(rows), H, W, C).

        Raises IndexError for a row that does not exist.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows must lie in [0, {len(self)})")
        images = np.empty((len(rows), *self.image_shape), dtype=np.uint8)
        shard_of_row = np.searchsorted(self._ends, rows, side="right")
        for shard in np.unique(shard_of_row):
            chosen = shard_of_row == shard
            start = self._ends[shard] - len(self._shards[shard])
            images[chosen] = self._shards[shard][rows[chosen] - start]
        return images

    def chunks(self, rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
        """The images at `rows`, at most `size` at a time."""
        for start in range(0, len(rows), size):
            yield self[rows[start : start + size]]


def _mapped(path: Path) -> np.ndarray:
    try:
        shard = np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        raise ArtifactError(f"{path}: is not a readable .npy file: {error}") from error
    if shard.ndim != 4 or shard.dtype != np.uint8:
        raise ArtifactError(
            f"{path}: holds {shard.dtype} of shape {shard.shape}, expected uint8 (N, H, W, C)"
        )
    return shard
