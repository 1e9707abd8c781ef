"""From the bytes of an image file to canonical pixels: the one way for training and prediction.

H height, W width, C channels
"""

import io
import warnings
from typing import Literal, NamedTuple

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageFile, ImageOps
from pydantic import PositiveInt

from tasks.core.errors import ImageError
from tasks.core.gate import Limits, Size, check_size, find_format
from tasks.core.params import Section

_SIXTEEN_BIT = {"I;16", "I;16B", "I;16L", "I;16N"}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ACROSS = (5, 6, 7, 8)


class Canonical(Section):
    """What every image becomes: `size` × `size` pixels of 1 (grey) or 3 (RGB) channels.

    Files beyond `limits` are refused before they are decoded.
    """

    size: PositiveInt
    channels: Literal[1, 3]
    resize: Literal["crop", "pad", "squash"]
    limits: Limits


class Picture(NamedTuple):
    """A decoded image. `pixels`: uint8 (H, W) if grey, (H, W, 3) if RGB, upright. `width` and
    `height`: of the whole upright image, of which `pixels` may be a shrunk copy."""

    pixels: np.ndarray
    format: str
    width: int
    height: int


def canonical_pixels(data: bytes, name: str, canonical: Canonical) -> np.ndarray:
    """Bytes of an image file → uint8 (size, size, C).

    Raises ImageError as `decode` does.
    """
    return fit(decode(data, name, canonical.limits, smallest=canonical.size).pixels, canonical)


def decode(data: bytes, name: str, limits: Limits, smallest: int = 0) -> Picture:
    """A fully decoded image: upright by its EXIF orientation, grey or RGB, 8 bits a channel.

    A JPEG may be shrunk while it is decoded, its shorter side never below `smallest` pixels (0:
    never shrunk). Colour under transparency is laid on white, CMYK and palettes become RGB, 16 bits
    become the upper 8; of several frames the first counts.

    Raises:
        ImageError: with one of the reasons that the gate documents.
    """
    format = find_format(data, name, limits)
    if format == "JPEG" and (picture := _decode_jpeg(data, limits, smallest)):
        return picture
    with warnings.catch_warnings(record=True, action="always") as said:
        image = _opened(data, format)
        check_size(Size(*image.size, _num_frames(image, limits)), limits)
        _load(image)
    if said:
        raise ImageError("decoder_warning", str(said[0].message))
    orientation = _orientation(image)
    # Pillow turns a TIFF, and the size that it tells of it, by itself.
    turned = format != "TIFF" and orientation in _ACROSS
    size = (image.height, image.width) if turned else image.size
    return Picture(np.asarray(_eight_bit(_upright(image, orientation))), format, *size)


def _decode_jpeg(data: bytes, limits: Limits, smallest: int) -> Picture | None:
    """None for kinds of JPEG that are left to Pillow: CMYK, and unusual subsampling."""
    # Pillow does not tell what libjpeg warns of; this decoder does, and gives the same pixels.
    try:
        stated_height, stated_width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    height, width = int(stated_height), int(stated_width)
    if colours in ("CMYK", "YCCK"):
        return None
    check_size(Size(width, height, 1), limits)
    kind = "GRAY" if colours == "Gray" else "RGB"
    try:
        pixels = simplejpeg.decode_jpeg(data, kind, min_height=smallest, min_width=smallest)
    except ValueError as error:
        raise ImageError(_reason_of(error, data), str(error)) from error
    pixels = pixels.reshape(pixels.shape[: 2 if kind == "GRAY" else 3])
    # Hardly any file has one, and to look for it properly takes longer than to decode a small one.
    if b"Exif\0\0" in data or b"tiff:Orientation" in data:
        with warnings.catch_warnings(action="ignore"):
            orientation = _orientation(_opened(data, "JPEG"))
        pixels = np.asarray(_upright(Image.fromarray(pixels), orientation))
        if orientation in _ACROSS:
            width, height = height, width
    return Picture(pixels, "JPEG", width, height)


def _reason_of(error: ValueError, data: bytes) -> str:
    if "Premature end" in str(error):
        return "truncated"
    try:
        simplejpeg.decode_jpeg(data, "GRAY", strict=False)
    except ValueError:
        return "corrupt"
    return "decoder_warning"


def _opened(data: bytes, format: str) -> ImageFile.ImageFile:
    try:
        return Image.open(io.BytesIO(data), formats=[format])  # type: ignore[return-value]
    except Image.DecompressionBombError as error:
        raise ImageError("too_large", str(error)) from error
    except Exception as error:
        ends_early = format == "JPEG" and not data.endswith(b"\xff\xd9")
        detail = f"starts like {format}, but its header makes no sense"
        raise ImageError("truncated" if ends_early else "corrupt", detail) from error


def _num_frames(image: ImageFile.ImageFile, limits: Limits) -> int:
    """Of those of a TIFF one more than allowed at most; those of a GIF the gate has counted."""
    try:
        if image.format == "TIFF":
            return _num_pages(image, limits.max_frames + 1)
        return 1 if image.format == "GIF" else getattr(image, "n_frames", 1)
    except Exception as error:
        raise ImageError("corrupt", f"its frames cannot be counted: {error}") from error


def _num_pages(image: ImageFile.ImageFile, most: int) -> int:
    # Each is found through the one before it, and Pillow's own count would follow them all.
    for number in range(1, most):
        try:
            image.seek(number)
        except EOFError:
            image.seek(0)
            return number
    return most


def _load(image: ImageFile.ImageFile) -> None:
    # PIL's decoders raise errors of many kinds (OSError, SyntaxError, ValueError, struct.error,
    # EOFError) for damaged files; whichever it is, the image is unusable.
    try:
        image.load()
    except Exception as error:
        reason = "truncated" if "truncated" in str(error) else "corrupt"
        raise ImageError(reason, str(error) or type(error).__name__) from error


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    # Damaged EXIF raises errors of as many kinds as damaged pixels, and warns; these pixels are
    # sound.
    with warnings.catch_warnings(action="ignore"):
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


def fit(pixels: np.ndarray, canonical: Canonical) -> np.ndarray:
    """Decoded pixels → uint8 (size, size, C): `crop` cuts the centre square, `pad` adds black
    borders, `squash` changes the aspect."""
    target = (canonical.size, canonical.size)
    if pixels.shape == (*target, 3)[: 2 if canonical.channels == 1 else 3]:
        return pixels.reshape(*target, canonical.channels)
    image = Image.fromarray(pixels).convert("L" if canonical.channels == 1 else "RGB")
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
