"""Thumbnails are the image, or a smaller one of the same shape."""

import io

import numpy as np
import pytest
from PIL import Image

from tasks.core.thumbnails import fit_png, png_pair, png_thumbnail


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


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pair_stands_side_by_side(channels):
    left, right = np.random.default_rng(0).integers(0, 255, (2, 8, 12, channels), dtype=np.uint8)
    shown = np.asarray(Image.open(io.BytesIO(png_pair(left, right, 96))))
    shown = shown.reshape(8, 26, channels)
    assert (shown[:, :12] == left).all() and (shown[:, 14:] == right).all()
    assert (shown[:, 12:14] == 128).all()


def noise(height: int, width: int) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return png_thumbnail(pixels, max(height, width))


def test_a_png_that_fits_stays_to_the_byte():
    png = noise(20, 20)
    assert fit_png(png, len(png)) is png


@pytest.mark.parametrize("most_bytes", [20_000, 2_000, 500])
def test_a_png_is_made_smaller_until_it_fits_and_keeps_its_shape(most_bytes):
    fitted = fit_png(noise(100, 200), most_bytes)
    width, height = Image.open(io.BytesIO(fitted)).size
    assert len(fitted) <= most_bytes
    assert 1.8 < width / height < 2.2


def test_no_png_is_smaller_than_a_pixel():
    assert Image.open(io.BytesIO(fit_png(noise(9, 9), 1))).size == (1, 1)
