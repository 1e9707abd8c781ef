"""Small pictures for pages."""

import io

import numpy as np
from PIL import Image


def png_thumbnail(pixels_HWC: np.ndarray, most_pixels: int) -> bytes:
    """A PNG of canonical pixels, made smaller where a side is longer than `most_pixels`."""
    image = Image.fromarray(pixels_HWC.squeeze(axis=2) if pixels_HWC.shape[2] == 1 else pixels_HWC)
    if max(image.size) > most_pixels:
        image.thumbnail((most_pixels, most_pixels), Image.Resampling.BOX)
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()
