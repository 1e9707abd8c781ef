"""Measures say what is in the pixels, whatever file they came in and whoever they came with."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.core.gate import Limits
from tasks.core.measures import MEASURED_SIZE, Measures, measure
from tasks.core.pixels import Picture, decode

LIMITS = Limits(max_file_bytes=100_000_000, max_pixels=100_000_000, max_frames=1, min_size=1)


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def noise(height: int, width: int, *channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, *channels), dtype=np.uint8)


def measured(data: bytes) -> Measures:
    [measures] = measure([(decode(data, "", LIMITS, smallest=MEASURED_SIZE), len(data))])
    return measures


def of_pixels(pixels: np.ndarray, num_bytes: int = 100) -> Measures:
    height, width = pixels.shape[:2]
    [measures] = measure([(Picture(pixels, "PNG", width, height), num_bytes)])
    return measures


def test_known_measures():
    half = np.zeros((20, 10), dtype=np.uint8)
    half[:, 5:] = 255
    measures = measured(encoded(Image.fromarray(half)))
    assert measures[:4] == (10, 20, 1, "PNG")
    assert (measures.dark_point, measures.light_point) == (0, 1)
    assert measures.entropy == 1
    assert measures.uniformity == 0.5
    assert measures.brightness == pytest.approx(0.5)
    assert measures.contrast == pytest.approx(0.5)
    flat = measured(encoded(Image.new("RGB", (10, 20), (51, 51, 51))))
    assert flat.brightness == pytest.approx(0.2)
    assert flat.contrast == flat.sharpness == flat.entropy == flat.colourfulness == 0
    assert flat.uniformity == 1
    assert measures.sharpness > flat.sharpness
    assert flat.channels == 3
    assert flat.perceptual_hash == "0" * 16


def test_the_perceptual_hash_says_where_it_grows_brighter():
    ramp = np.linspace(0, 255, 90).astype(np.uint8)[None].repeat(80, axis=0)
    assert measured(encoded(Image.fromarray(ramp))).perceptual_hash == "f" * 16
    assert measured(encoded(Image.fromarray(ramp[:, ::-1].copy()))).perceptual_hash == "0" * 16


def test_the_pixel_hash_tells_pixels_not_files():
    grey = noise(9, 9)
    base = measured(encoded(Image.fromarray(grey))).pixel_hash
    same = [
        encoded(Image.fromarray(grey), compress_level=0),
        encoded(Image.fromarray(grey), "BMP"),
        encoded(Image.fromarray(grey).convert("RGB")),
        encoded(Image.fromarray(grey), "TIFF"),
    ]
    assert {measured(data).pixel_hash for data in same} == {base}
    changed = grey.copy()
    changed[4, 4] ^= 1
    others = [changed, grey.T.copy(), grey.reshape(3, 27)]
    hashes = {measured(encoded(Image.fromarray(other))).pixel_hash for other in others}
    assert len(hashes) == 3 and base not in hashes


def reference(pixels: np.ndarray) -> dict[str, float]:
    """The same by definition, one pixel after another where need be."""
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    levels = grey.ravel() / 255
    shares = np.unique(grey, return_counts=True)[1] / grey.size
    values = {
        "brightness": levels.mean(),
        "contrast": levels.std(),
        "dark_point": np.quantile(levels, 0.05, method="inverted_cdf"),
        "light_point": np.quantile(levels, 0.95, method="inverted_cdf"),
        "entropy": -(shares * np.log2(shares)).sum(),
        "uniformity": max(((grey >= low) & (grey <= low + 16)).mean() for low in range(-16, 256)),
        "colourfulness": 0.0,
    }
    if pixels.ndim == 3:
        red, green, blue = np.moveaxis(pixels.astype(float) / 255, -1, 0)
        rg, yb = red - green, (red + green) / 2 - blue
        values["colourfulness"] = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(
            rg.mean(), yb.mean()
        )
    return values


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 40), st.integers(2, 40), st.booleans(), st.integers(1, 255), st.integers(0, 99)
)
def test_measures_equal_their_definitions(height, width, is_grey, levels, seed):
    shape = (height, width) if is_grey else (height, width, 3)
    pixels = np.random.default_rng(seed).integers(0, levels + 1, shape, dtype=np.uint8)
    measures = of_pixels(pixels)
    for name, value in reference(pixels).items():
        # Where the share is exactly one in twenty, either neighbour is the point.
        tolerance = 2e-5 if "point" not in name else (1.01 * levels / 255 if height < 8 else 0.2)
        assert getattr(measures, name) == pytest.approx(value, abs=tolerance), name


def test_an_image_is_measured_alike_alone_and_in_company():
    pictures = [
        (Picture(noise(n, n + 1, 3), "PNG", n + 1, n), 10 * n) for n in (5, 9, 33)
    ]  # fmt: skip
    together = measure(pictures)
    assert together == [measure([one])[0] for one in pictures]
    assert measure([]) == []


def test_bytes_per_pixel():
    assert of_pixels(noise(10, 20), 50).bytes_per_pixel == 0.25


def test_grey_stored_as_colour_has_no_colour():
    grey = noise(16, 16)
    assert of_pixels(np.stack([grey] * 3, axis=-1)).colourfulness == 0
    assert of_pixels(noise(16, 16, 3)).colourfulness > 0.3


def test_large_pictures_are_measured_at_one_scale_whatever_their_format():
    y, x = np.mgrid[:1600, :2400]
    smooth = (127 + 60 * np.sin(x / 90) + 60 * np.cos(y / 70)).astype(np.uint8)
    png, jpeg = (
        measured(encoded(Image.fromarray(smooth), *options)) for options in (("PNG",), ("JPEG",))
    )
    assert png.sharpness == pytest.approx(jpeg.sharpness, rel=0.3)
    assert (png.width, png.height) == (jpeg.width, jpeg.height) == (2400, 1600)
