"""Images that arrive where a model is in use: canonical pixels and measures by one decoding."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tasks.core.errors import ImageError
from tasks.core.measures import MEASURED_SIZE, Measures, measure
from tasks.core.metadata import strip_metadata
from tasks.core.pixels import Canonical, Picture, decode, fit

# Channel values held at a time: pictures are measured together, but large ones would add up.
_BATCH_VALUES = 30_000_000


class Incoming(NamedTuple):
    """`pixels`: uint8 (size, size, C), as training had them; `measures`: as validate takes them."""

    pixels: np.ndarray
    measures: Measures


def take_in(
    files: Sequence[tuple[bytes, str]], canonical: Canonical
) -> list[Incoming | ImageError]:
    """Of each file, given with its name: what it is, or why it cannot be used."""
    taken: list[Incoming | ImageError] = []
    held: list[tuple[int, np.ndarray, Picture, int]] = []
    num_held = 0
    for number, (data, name) in enumerate(files):
        try:
            # As ingest hands them on: faulty metadata is no reason to refuse an image.
            stripped = strip_metadata(data)
            picture, seen = _decode_for_both(stripped, name, canonical)
        except ImageError as error:
            taken.append(error)
            continue
        held.append((number, fit(picture.pixels, canonical), seen, len(stripped)))
        # Holds the place until the measures are there.
        taken.append(ImageError("unreadable", "not measured yet"))
        num_held += seen.pixels.size
        if num_held > _BATCH_VALUES:
            _measure_into(taken, held)
            held, num_held = [], 0
    _measure_into(taken, held)
    return taken


def _decode_for_both(data: bytes, name: str, canonical: Canonical) -> tuple[Picture, Picture]:
    """The picture for the net and the one to measure: a large JPEG is shrunk while it is decoded,
    and further for the net than for its measures."""
    picture = decode(data, name, canonical.limits, smallest=canonical.size)
    is_whole = picture.pixels.shape[:2] == (picture.height, picture.width)
    if is_whole and canonical.size <= MEASURED_SIZE:
        return picture, picture
    return picture, decode(data, name, canonical.limits, smallest=MEASURED_SIZE)


def _measure_into(
    taken: list[Incoming | ImageError], held: list[tuple[int, np.ndarray, Picture, int]]
) -> None:
    measured = measure([(picture, num_bytes) for _, _, picture, num_bytes in held])
    for (number, pixels, _, _), measures in zip(held, measured, strict=True):
        taken[number] = Incoming(pixels, measures)
