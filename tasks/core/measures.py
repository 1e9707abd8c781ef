"""What is measured of every image: one pass over its pixels, the rest from its histogram.

N images, H height, W width
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import cv2
import numpy as np

from tasks.core.pixels import Picture

# Large images are measured at this size or a little more, so that one threshold fits all.
MEASURED_SIZE = 512
_LEVELS = np.arange(256) / 255
# Red against green, and yellow against blue.
_OPPONENTS = np.array([[1, -1, 0], [0.5, 0.5, -1]], dtype=np.float32)
_FROM_HISTOGRAM = (
    "brightness", "contrast", "dark_point", "light_point", "uniformity", "entropy",
)  # fmt: skip


class Measures(NamedTuple):
    """What is measured of one image, shrunk first if it is large.

    width, height: pixels of the whole image. brightness, contrast: mean and standard deviation of
    grey. dark_point, light_point: what 95 % of the pixels exceed, and what 95 % stay under.
    uniformity: the largest share of pixels within 16 levels of each other. entropy: bits of a
    pixel's grey level. sharpness: variance of the Laplacian of grey (Pech-Pacheco et al., 2000).
    colourfulness: Hasler and Süsstrunk (2003), of channels in [0, 1]. All but entropy are of grey
    levels in [0, 1].
    pixel_hash: of the decoded pixels, so that two encodings of the same pixels agree.
    perceptual_hash: 64-bit difference hash of an 8 × 9 thumbnail, in hexadecimal
    (http://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html).
    """

    width: int
    height: int
    channels: int
    format: str
    bytes_per_pixel: float
    brightness: float
    contrast: float
    dark_point: float
    light_point: float
    uniformity: float
    entropy: float
    sharpness: float
    colourfulness: float
    pixel_hash: str
    perceptual_hash: str


class _Seen(NamedTuple):
    """What one image's pixels are looked at for."""

    histogram: np.ndarray
    sharpness: float
    colourfulness: float
    pixel_hash: str
    perceptual_hash: str


def measure(pictures: Sequence[tuple[Picture, int]]) -> list[Measures]:
    """Measures of images, each given with the bytes of its file."""
    if not pictures:
        return []
    seen = [_look_at(picture) for picture, _ in pictures]
    shares_NL = np.stack([one.histogram for one in seen])
    shares_NL = shares_NL / shares_NL.sum(axis=1, keepdims=True)
    below_NL = np.cumsum(shares_NL, axis=1)
    brightness = shares_NL @ _LEVELS
    variance = np.maximum(shares_NL @ _LEVELS**2 - brightness**2, 0)
    dark = (below_NL > 0.05).argmax(axis=1) / 255
    light = (below_NL >= 0.95 - 1e-12).argmax(axis=1) / 255
    widened = np.pad(below_NL, ((0, 0), (17, 0)))
    uniformity = (below_NL - widened[:, :256]).max(axis=1)
    bits = -(shares_NL * np.log2(np.where(shares_NL > 0, shares_NL, 1))).sum(axis=1)
    numbers_N6 = np.column_stack(
        [brightness, np.sqrt(variance), dark, light, uniformity, bits]
    ).round(6)
    return [
        Measures(
            width=picture.width,
            height=picture.height,
            channels=1 if picture.pixels.ndim == 2 else 3,
            format=picture.format,
            bytes_per_pixel=round(num_bytes / (picture.width * picture.height), 6),
            sharpness=one.sharpness,
            colourfulness=one.colourfulness,
            pixel_hash=one.pixel_hash,
            perceptual_hash=one.perceptual_hash,
            **dict(zip(_FROM_HISTOGRAM, numbers_6.tolist(), strict=True)),
        )
        for (picture, num_bytes), one, numbers_6 in zip(pictures, seen, numbers_N6, strict=True)
    ]


def _look_at(picture: Picture) -> _Seen:
    pixels, grey, colourfulness, is_grey = picture.pixels, picture.pixels, 0.0, True
    if pixels.ndim == 3:
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        opponents = cv2.transform(pixels.astype(np.float32), _OPPONENTS)
        mean, deviation = cv2.meanStdDev(opponents)
        is_grey = not (mean.any() or deviation.any())
        colourfulness = float(np.hypot(*deviation[:, 0]) + 0.3 * np.hypot(*mean[:, 0])) / 255
    # Grey stored as RGB is the same picture.
    pixel_hash = _hash_of(pixels[..., 0] if is_grey and pixels.ndim == 3 else pixels, picture)
    grey = _shrunk(grey)
    _, edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))
    return _Seen(
        cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel(),
        round((float(edges[0, 0]) / 255) ** 2, 9),
        round(colourfulness, 6),
        pixel_hash,
        _difference_hash(grey),
    )


def _shrunk(grey: np.ndarray) -> np.ndarray:
    """Halved as often as the shorter side stays `MEASURED_SIZE` pixels at least."""
    factor = 1 << max(0, (min(grey.shape) // MEASURED_SIZE).bit_length() - 1)
    if factor == 1:
        return grey
    height, width = grey.shape
    target = (width // factor, height // factor)
    return cv2.resize(grey, target, interpolation=cv2.INTER_AREA)


def _hash_of(pixels: np.ndarray, picture: Picture) -> str:
    shape = f"{picture.width}x{picture.height}x{pixels.ndim}".encode()
    return blake2b(shape + np.ascontiguousarray(pixels).tobytes(), digest_size=16).hexdigest()


def _difference_hash(grey: np.ndarray) -> str:
    thumbnail = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    brighter = thumbnail[:, 1:] > thumbnail[:, :-1]
    return np.packbits(brighter).tobytes().hex()
