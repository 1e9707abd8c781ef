"""Thumbnails are the image, or a smaller one of the same shape."""

import io

import numpy as np
import pytest
from PIL import Image

from tasks.core.thumbnails import png_thumbnail


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_image_stays_as_it_is(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, channels), dtype=np.uint8)
    shown = np.asarray(Image.open(io.BytesIO(png_thumbnail(pixels, 96))))
    assert (shown.reshape(pixels.shape) == pixels).all()


def test_a_large_image_is_made_smaller_and_keeps_its_shape():
    pixels = np.zeros((400, 200, 3), dtype=np.uint8)
    pixels[:200] = 200
    shown = np.asarray(Image.open(io.BytesIO(png_thumbnail(pixels, 96))))
    assert shown.shape == (96, 48, 3)
    assert (shown[:48] == 200).all() and (shown[48:] == 0).all()
