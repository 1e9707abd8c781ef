"""From the bytes of an image file to canonical pixels: the one way for training and prediction.

H height, W width, C channels
"""

import io
import warnings
from hashlib import blake2b
from typing import Literal, NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps
from pydantic import PositiveInt

from tasks.core.errors import ImageError
from tasks.core.params import Section

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_SIXTEEN_BIT = {"I;16", "I;16B", "I;16L", "I;16N"}
_MEASURED_SIZE = 512
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Canonical(Section):
    """What every image becomes: `size` × `size` pixels of 1 (grey) or 3 (RGB) channels.

    Files of more than `max_pixels` are refused before they are decoded.
    """

    size: PositiveInt
    channels: Literal[1, 3]
    resize: Literal["crop", "pad", "squash"]
    max_pixels: PositiveInt


class Measures(NamedTuple):
    """What is measured of one image. Large JPEGs are measured on a copy shrunk while loading.

    brightness: mean of grey, [0, 1]. sharpness: variance of the Laplacian of grey in [0, 1]
    (Pech-Pacheco et al., 2000). pixel_hash: of the decoded pixels, so that two encodings of the
    same pixels agree. perceptual_hash: 64-bit difference hash of an 8 × 9 thumbnail, in hexadecimal
    (http://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html).
    """

    width: int
    height: int
    channels: int
    format: str
    brightness: float
    contrast: float
    sharpness: float
    pixel_hash: str
    perceptual_hash: str


def decode(data: bytes, max_pixels: int, smallest: int = 0) -> Image.Image:
    """A fully decoded image: upright by its EXIF orientation, mode L or RGB, 8 bits a channel.

    A JPEG may be shrunk by a power of two while it is decoded, its shorter side never below
    `smallest` pixels (0: never shrunk). Colour under transparency is laid on white, CMYK and
    palettes become RGB, 16 bits become the upper 8.

    Raises:
        ImageError: `empty`, `unknown_format`, `too_large` (before anything is decoded),
            `truncated`, `corrupt` or `unsupported_mode`.
    """
    if not data:
        raise ImageError("empty", "the file has no bytes")
    with warnings.catch_warnings():
        # The pixel budget below is ours; PIL's own would only warn.
        warnings.simplefilter("ignore")
        image = _opened(data)
        width, height = image.size
        if width * height > max_pixels:
            raise ImageError(
                "too_large", f"{width} × {height} pixels exceed the budget of {max_pixels:,}"
            )
        if smallest and min(width, height) >= 2 * smallest:
            scale = smallest / min(width, height)
            image.draft(None, (int(width * scale), int(height * scale)))
        _load(image)
        return _eight_bit(_upright(image))


def _opened(data: bytes) -> ImageFile.ImageFile:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)  # type: ignore[return-value]
    except Image.DecompressionBombError as error:
        raise ImageError("too_large", str(error)) from error
    except Exception as error:
        head = data[:8].hex(" ")
        raise ImageError(
            "unknown_format", f"not one of {', '.join(FORMATS)} (first bytes: {head})"
        ) from error


def _load(image: ImageFile.ImageFile) -> None:
    # PIL's decoders raise errors of many kinds (OSError, SyntaxError, ValueError, struct.error,
    # EOFError) for damaged files; whichever it is, the image is unusable.
    try:
        image.load()
    except Exception as error:
        reason = "truncated" if "truncated" in str(error) else "corrupt"
        raise ImageError(reason, str(error) or type(error).__name__) from error


def _upright(image: Image.Image) -> Image.Image:
    turn = _UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    # Damaged EXIF raises errors of as many kinds as damaged pixels; these pixels are sound.
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode in _SIXTEEN_BIT:
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layers = image.convert("RGBA")
        ground = Image.new("RGBA", layers.size, (255, 255, 255, 255))
        flat = Image.alpha_composite(ground, layers).convert("RGB")
        return flat.convert("L") if image.mode in ("L", "LA", "La") else flat
    if image.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
        return image.convert("RGB")
    raise ImageError("unsupported_mode", f"pixels of mode {image.mode} have no defined conversion")


def canonical_pixels(data: bytes, canonical: Canonical) -> np.ndarray:
    """Bytes of an image file → uint8 (size, size, C).

    Raises ImageError as `decode` does.
    """
    return fit(decode(data, canonical.max_pixels, smallest=canonical.size), canonical)


def fit(image: Image.Image, canonical: Canonical) -> np.ndarray:
    """A decoded image → uint8 (size, size, C): `crop` cuts the centre square, `pad` adds black
    borders, `squash` changes the aspect."""
    image = image.convert("L" if canonical.channels == 1 else "RGB")
    target = (canonical.size, canonical.size)
    if image.size != target:
        if canonical.resize == "crop":
            image = ImageOps.fit(image, target, Image.Resampling.BILINEAR)
        elif canonical.resize == "pad":
            image = _padded(image, canonical.size)
        else:
            image = image.resize(target, Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(*target, canonical.channels)


def _padded(image: Image.Image, size: int) -> Image.Image:
    # Not ImageOps.pad: it rounds the short side of a thin picture to nothing, which leaves black.
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    ground = Image.new(image.mode, (size, size))
    place = round((size - width) / 2), round((size - height) / 2)
    ground.paste(image.resize((width, height), Image.Resampling.BILINEAR), place)
    return ground


def measure(data: bytes, max_pixels: int) -> Measures:
    """Decodes an image file once and measures it.

    Raises ImageError as `decode` does.
    """
    image = decode(data, max_pixels, smallest=_MEASURED_SIZE)
    header, (width, height) = _stated_size(data)
    pixels = np.asarray(image)
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    mean, deviation = cv2.meanStdDev(grey)
    _, edge_deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))
    return Measures(
        width=width,
        height=height,
        channels=len(image.getbands()),
        format=str(header.format),
        brightness=float(mean[0, 0]) / 255,
        contrast=float(deviation[0, 0]) / 255,
        sharpness=(float(edge_deviation[0, 0]) / 255) ** 2,
        pixel_hash=_pixel_hash(pixels, width, height),
        perceptual_hash=_difference_hash(grey),
    )


def _stated_size(data: bytes) -> tuple[ImageFile.ImageFile, tuple[int, int]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = _opened(data)
        width, height = header.size
        # Pillow turns the size of a TIFF by itself.
        turned = header.format != "TIFF" and _orientation(header) in (5, 6, 7, 8)
    return header, ((height, width) if turned else (width, height))


def _pixel_hash(pixels: np.ndarray, width: int, height: int) -> str:
    # Grey stored as RGB is the same picture.
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    shape = f"{width}x{height}x{pixels.ndim}".encode()
    return blake2b(shape + np.ascontiguousarray(pixels).tobytes(), digest_size=16).hexdigest()


def _difference_hash(grey: np.ndarray) -> str:
    thumbnail = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    brighter = thumbnail[:, 1:] > thumbnail[:, :-1]
    return np.packbits(brighter).tobytes().hex()
