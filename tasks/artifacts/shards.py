"""Cuts a stream of images into shards where the content says so.

The cuts follow the method of content-defined chunking (Muthitacharoen et al., A low-bandwidth
network file system, 2001): whether a shard ends after an image depends on that image alone, so that
what is added or removed in one place leaves the shards elsewhere as they were.
"""

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from tasks.artifacts.images import RAW_SCHEMA, RawImage, raw_table
from tasks.core.hashing import id_fraction

_ROW_GROUP_BYTES = 8_000_000
_ROW_GROUP_IMAGES = 4096


class Place(NamedTuple):
    """Where an image lies: the shard's file name and the row in it."""

    shard: str
    row: int


class ShardWriter:
    """Writes images into `folder` in shards of about `shard_bytes`, named by their content.

    A shard is at least a quarter of that size (but for the last) and four times at most.
    """

    def __init__(self, folder: Path, shard_bytes: int):
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._counts: list[tuple[str, int]] = []
        self._begin()

    def _begin(self) -> None:
        self._names: list[str] = []
        self._size = self._num_images = self._pending_bytes = 0
        self._pending: list[RawImage] = []
        self._writer: pq.ParquetWriter | None = None

    def add(self, image: RawImage) -> None:
        self._pending.append(image)
        self._pending_bytes += len(image.data)
        self._size += len(image.data)
        self._num_images += 1
        self._names.append(f"{image.image_id}/{image.name}\n")
        if self._pending_bytes >= _ROW_GROUP_BYTES or len(self._pending) >= _ROW_GROUP_IMAGES:
            self._flush()
        if self._ends_after(image):
            self._end()

    def _ends_after(self, image: RawImage) -> bool:
        if self._size < self._shard_bytes / 4:
            return False
        chance = len(image.data) / self._shard_bytes
        return id_fraction(image.image_id) < chance or self._size >= 4 * self._shard_bytes

    def _flush(self) -> None:
        if not self._pending:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._folder / "unfinished",
                RAW_SCHEMA,
                compression="none",
                use_dictionary=False,
                write_statistics=False,
            )
        self._writer.write_table(raw_table(self._pending))
        self._pending, self._pending_bytes = [], 0

    def _end(self) -> None:
        self._flush()
        if self._writer is None:
            return
        self._writer.close()
        digest = sha256("".join(self._names).encode())
        name = f"{digest.hexdigest()[:16]}.parquet"
        (self._folder / "unfinished").rename(self._folder / name)
        self._counts.append((name, self._num_images))
        self._begin()

    def finish(self) -> list[Place]:
        """Ends the last shard; the places of all images in the order in which they were added."""
        self._end()
        return [Place(name, row) for name, count in self._counts for row in range(count)]
