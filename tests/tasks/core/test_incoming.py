"""What arrives in use is treated as in training: the same pixels, measures and reasons."""

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.gate_fuzz import find_faults
from tasks.core.errors import ImageError
from tasks.core.gate import Limits
from tasks.core.incoming import Incoming, take_in
from tasks.core.measures import MEASURED_SIZE, measure
from tasks.core.metadata import strip_metadata
from tasks.core.pixels import Canonical, canonical_pixels, decode

LIMITS = Limits(max_file_bytes=50_000_000, max_pixels=25_000_000, max_frames=100, min_size=4)


def jpeg(side: int, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "who took it"
    coarse.resize((side, side + 5)).save(file, "JPEG", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("size", [16, 224, 600])
@pytest.mark.parametrize("side", [30, 700, 2100])
def test_pixels_are_those_of_clean_and_measures_those_of_validate(size, side):
    canonical = Canonical(size=size, channels=3, resize="crop", limits=LIMITS)
    data = jpeg(side)
    (found,) = take_in([(data, "a.jpg")], canonical)
    stripped = strip_metadata(data)
    assert isinstance(found, Incoming) and stripped != data
    np.testing.assert_array_equal(found.pixels, canonical_pixels(stripped, "a.jpg", canonical))
    seen = decode(stripped, "a.jpg", LIMITS, smallest=MEASURED_SIZE)
    assert found.measures == measure([(seen, len(stripped))])[0]


def test_each_keeps_its_place_however_many_are_measured_together():
    canonical = Canonical(size=8, channels=1, resize="squash", limits=LIMITS)
    faults = [fault for fault in find_faults() if len(fault.data) < 100_000]
    files = [(jpeg(2100, 1), "")] * 9
    for fault in faults:
        files += [(fault.data, fault.name), (jpeg(40), "")]
    found = take_in(files, canonical)
    alone = [take_in([file], canonical)[0] for file in files]
    for one, other in zip(found, alone, strict=True):
        if isinstance(other, ImageError):
            assert isinstance(one, ImageError) and str(one) == str(other)
        else:
            assert isinstance(one, Incoming) and one.measures == other.measures
            np.testing.assert_array_equal(one.pixels, other.pixels)
    assert take_in([], canonical) == []
