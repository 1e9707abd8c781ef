"""Small pictures for pages."""

import io
import math

import numpy as np
from PIL import Image

_GAP = 2  # pixels between two pictures side by side


def encode_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def png_thumbnail(pixels_HWC: np.ndarray, most_pixels: int) -> bytes:
    """A PNG of canonical pixels, made smaller where a side is longer than `most_pixels`."""
    return encode_png(_small(pixels_HWC, most_pixels))


def png_pair(left_HWC: np.ndarray, right_HWC: np.ndarray, most_pixels: int) -> bytes:
    """A PNG of two images of one shape side by side, each as `png_thumbnail` would have it."""
    left, right = (_small(pixels, most_pixels) for pixels in (left_HWC, right_HWC))
    both = Image.new(left.mode, (left.width + _GAP + right.width, left.height), "grey")
    both.paste(left, (0, 0))
    both.paste(right, (left.width + _GAP, 0))
    return encode_png(both)


def fit_png(png: bytes, most_bytes: int) -> bytes:
    """The PNG, made smaller until it has at most `most_bytes`, or a single pixel."""
    fitting = png
    while len(fitting) > most_bytes:
        image = Image.open(io.BytesIO(fitting))
        if max(image.size) == 1:
            break
        # By a little more than the bytes ask for, so that a few rounds do.
        factor = 0.95 * math.sqrt(most_bytes / len(fitting))
        width, height = (max(1, int(side * factor)) for side in image.size)
        fitting = encode_png(image.resize((width, height), Image.Resampling.BOX))
    return fitting


def _small(pixels_HWC: np.ndarray, most_pixels: int) -> Image.Image:
    image = Image.fromarray(pixels_HWC.squeeze(axis=2) if pixels_HWC.shape[2] == 1 else pixels_HWC)
    if max(image.size) > most_pixels:
        image.thumbnail((most_pixels, most_pixels), Image.Resampling.BOX)
    return image
