"""What workers do with a row group of a raw shard.

Apart from the stages, which import pandas: each worker would wait for that.
"""

from typing import NamedTuple

import numpy as np

from tasks.artifacts.images import RawImage, load_row_group
from tasks.core.errors import ImageError
from tasks.core.gate import Limits
from tasks.core.measures import MEASURED_SIZE, Measures, measure
from tasks.core.pixels import Canonical, Picture, canonical_pixels, decode
from tasks.pool import Piece

# Channel values held at a time: pictures are measured together, but large ones would add up.
_BATCH_VALUES = 30_000_000


class Rejected(NamedTuple):
    image_id: str
    reason: str
    detail: str


class MeasuredGroup(NamedTuple):
    """`measured`: image_id and measures of what decoded."""

    measured: list[tuple[str, Measures]]
    rejected: list[Rejected]


def measure_row_group(piece: Piece, limits: Limits) -> MeasuredGroup:
    """Decodes and measures every wanted image, or says why it is rejected."""
    group = MeasuredGroup([], [])
    held: list[tuple[str, Picture, int]] = []
    num_held = 0
    for image in wanted_images(piece):
        try:
            picture = decode(image.data, image.name, limits, smallest=MEASURED_SIZE)
            held.append((image.image_id, picture, len(image.data)))
            num_held += picture.pixels.size
        except ImageError as error:
            group.rejected.append(Rejected(image.image_id, error.reason, error.detail))
        if num_held > _BATCH_VALUES:
            group.measured.extend(_measured(held))
            held, num_held = [], 0
    group.measured.extend(_measured(held))
    return group


def _measured(held: list[tuple[str, Picture, int]]) -> list[tuple[str, Measures]]:
    measures = measure([(picture, num_bytes) for _, picture, num_bytes in held])
    return [(image_id, one) for (image_id, _, _), one in zip(held, measures, strict=True)]


def clean_row_group(piece: Piece, canonical: Canonical) -> np.ndarray:
    """The wanted images of one row group: uint8 (n, size, size, C)."""
    images = [canonical_pixels(image.data, image.name, canonical) for image in wanted_images(piece)]
    shape = (len(images), canonical.size, canonical.size, canonical.channels)
    return np.stack(images) if images else np.empty(shape, np.uint8)


def wanted_images(piece: Piece) -> list[RawImage]:
    images = load_row_group(piece.shard, piece.group)
    return [one for one in images if piece.wanted is None or one.image_id in piece.wanted]
