"""What a file must be before it is decoded: a whole file of a known format, within its limits."""

import struct
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple
from zlib import crc32

from pydantic import PositiveInt

from tasks.core.errors import ImageError
from tasks.core.gif import GIF_IMAGE, MAX_GIF_BLOCKS, gif_blocks
from tasks.core.params import Section

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
# Every reason for which a row may be in the quarantine.
REASONS = {
    "unreadable": "the source could not be read",
    "too_many_bytes": "more bytes than a source reads of one file",
    "wrong_hash": "the file is not the one whose sha256 the manifest gives",
    "empty": "the file has no bytes",
    "file_too_large": "more bytes than `validate.max_file_bytes`",
    "unknown_format": "the first bytes are those of no known image format",
    "wrong_extension": "the name's extension is that of another format",
    "too_large": "more pixels than `validate.max_pixels`; told before they are decoded",
    "too_many_frames": "more frames than `validate.max_frames`",
    "too_many_scans": "a JPEG of more passes than any picture takes, each as long as a decoding",
    "truncated": "the file ends before the image does",
    "corrupt": "the decoder gives up, or a checksum is wrong",
    "decoder_warning": "the decoder goes on, but says that something is wrong",
    "crashed_decoder": "the process that decoded it died",
    "unsupported_mode": "pixels of a kind without a defined way to canonical ones",
    "too_small": "a side shorter than `validate.min_size`; told before it is decoded",
}
# A progressive JPEG has some 10. Each costs as much as a decoding, and 40 bytes.
_MAX_SCANS = 100
_EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
}
_FORMAT_OF = {ending: name for name, endings in _EXTENSIONS.items() for ending in endings}


class Limits(Section):
    """How large a file may be, in bytes, pixels and frames; how short a side, in pixels."""

    max_file_bytes: PositiveInt
    max_pixels: PositiveInt
    max_frames: PositiveInt
    min_size: PositiveInt


class Size(NamedTuple):
    """What a file says of itself before anything is decoded."""

    width: int
    height: int
    frames: int


def find_format(data: bytes, name: str, limits: Limits) -> str:
    """The format by the first bytes, of a file that is whole as far as that shows undecoded.

    A name without one of the known extensions tells no lie.

    Raises:
        ImageError: `empty`, `file_too_large`, `unknown_format`, `wrong_extension`, `truncated`,
            `corrupt`, `too_many_scans`, or for a GIF `too_many_frames`.
    """
    if not data:
        raise ImageError("empty", "the file has no bytes")
    if len(data) > limits.max_file_bytes:
        raise ImageError(
            "file_too_large", f"{len(data):,} bytes, expected at most {limits.max_file_bytes:,}"
        )
    found = _format_of(data)
    if found is None:
        head = data[:8].hex(" ")
        raise ImageError("unknown_format", f"not one of {', '.join(FORMATS)} (first bytes: {head})")
    ending = PurePosixPath(name).suffix.lower()
    if _FORMAT_OF.get(ending, found) != found:
        raise ImageError("wrong_extension", f"named {ending}, but its first bytes are {found}'s")
    if found == "JPEG":
        _check_jpeg(data)
    elif found == "PNG":
        _check_png(data)
    elif found == "GIF":
        _check_gif(data, limits)
    elif found == "WEBP" and len(data) < 8 + struct.unpack_from("<I", data, 4)[0]:
        raise ImageError("truncated", "the file is shorter than its RIFF header says")
    return found


def find_extension(data: bytes) -> str:
    """The extension that goes with the first bytes, such as `.jpg`; "" for no known format."""
    found = _format_of(data)
    return "" if found is None else _EXTENSIONS[found][0]


def check_size(size: Size, limits: Limits) -> None:
    """Raises ImageError: `too_large`, `too_many_frames` or `too_small`."""
    if size.width * size.height > limits.max_pixels:
        raise ImageError(
            "too_large",
            f"{size.width} × {size.height} pixels exceed the budget of {limits.max_pixels:,}",
        )
    _check_frames(size.frames, limits)
    if min(size.width, size.height) < limits.min_size:
        raise ImageError(
            "too_small",
            f"{size.width} × {size.height} pixels; expected {limits.min_size} or more on each side",
        )


def _check_frames(frames: int, limits: Limits) -> None:
    if frames > limits.max_frames:
        raise ImageError(
            "too_many_frames", f"{frames} frames, expected at most {limits.max_frames}"
        )


def _format_of(data: bytes) -> str | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    return "BMP" if data.startswith(b"BM") else None


def _check_jpeg(data: bytes) -> None:
    # In coded data no byte 0xFF is followed by that of a start of scan.
    if (scans := data.count(b"\xff\xda")) > _MAX_SCANS:
        raise ImageError("too_many_scans", f"{scans:,} scans, expected at most {_MAX_SCANS}")


def _check_gif(data: bytes, limits: Limits) -> None:
    if not data.rstrip(b"\0").endswith(b";"):
        raise ImageError("truncated", "the GIF has no trailer")
    # Pillow would walk through all of them to count, for minutes if they are millions.
    kinds = [kind for kind, _, _ in gif_blocks(data)]
    _check_frames(kinds.count(GIF_IMAGE), limits)
    if len(kinds) == MAX_GIF_BLOCKS:
        raise ImageError("corrupt", f"{MAX_GIF_BLOCKS:,} blocks or more")


def _check_png(data: bytes) -> None:
    # Pillow passes over the checksums of pixel data, and over an end that is missing; it unpacks
    # every colour profile, though a PNG has one at most, and each may be a thousand times itself.
    last, num_profiles = b"", 0
    for kind, body, checksum in _png_chunks(data):
        if crc32(body, crc32(kind)) != checksum:
            raise ImageError("corrupt", f"wrong checksum in the chunk {kind!r}")
        num_profiles += kind == b"iCCP"
        if num_profiles > 1:
            raise ImageError("corrupt", "more than one colour profile")
        last = kind
    if last != b"IEND":
        raise ImageError("truncated", "the PNG has no IEND chunk")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """Kind, body and checksum of each chunk (W3C PNG, third edition, section 5.3)."""
    view, at = memoryview(data), 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            return
        yield kind, view[at + 8 : end - 4], struct.unpack_from(">I", data, end - 4)[0]
        if kind == b"IEND":
            return
        at = end
