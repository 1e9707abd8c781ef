"""A file is refused for what it is, before it is decoded, with a reason from the list."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tasks.core.errors import ImageError
from tasks.core.gate import FORMATS, REASONS, Limits
from tasks.core.pixels import decode

LIMITS = Limits(max_file_bytes=100_000, max_pixels=10_000, max_frames=3, min_size=1)
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
ENDINGS = {
    "JPEG": "jpg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif", "GIF": "gif",
}  # fmt: skip


def encoded(format: str, image: Image.Image | None = None, **options) -> bytes:
    file = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(file, format, **options)
    return file.getvalue()


def reason(data: bytes, name: str = "") -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, name, LIMITS)
    assert caught.value.reason in REASONS and caught.value.detail
    return caught.value.reason


@pytest.mark.parametrize("format", FORMATS)
def test_every_known_format_passes_under_its_own_name_and_under_none(format):
    for name in (f"a.{ENDINGS[format]}", f"a.{ENDINGS[format].upper()}", "a", "a.b", ""):
        assert decode(encoded(format), name, LIMITS).format == format


@pytest.mark.parametrize("format", FORMATS)
def test_an_extension_that_lies_is_refused(format):
    for other in set(ENDINGS) - {format}:
        assert reason(encoded(format), f"a.{ENDINGS[other]}") == "wrong_extension"


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_cut_at_any_byte_is_refused(format):
    data = encoded(format)
    for end in range(len(data)):
        assert reason(data[:end]) in {
            "empty", "unknown_format", "truncated", "corrupt", "decoder_warning",
        }, end  # fmt: skip


def test_a_page_named_like_a_picture_is_refused():
    assert reason(b"<!DOCTYPE html><html><body>Not found</body></html>", "a.jpg") == (
        "unknown_format"
    )


def test_more_bytes_than_allowed_are_refused_unread():
    assert reason(b"\xff\xd8\xff" + bytes(100_000)) == "file_too_large"
    assert reason(b"\xff\xd8\xff" + bytes(99_995) + b"\xff\xd9") == "corrupt"


def frames(number: int) -> bytes:
    images = [Image.new("L", (4, 4), shade) for shade in range(10, 10 + number)]
    return encoded("GIF", images[0], save_all=True, append_images=images[1:])


def test_more_frames_than_allowed_are_refused():
    assert decode(frames(3), "a.gif", LIMITS).pixels.shape[:2] == (4, 4)
    assert reason(frames(4)) == "too_many_frames"


@pytest.mark.parametrize("format", FORMATS)
def test_more_pixels_than_allowed_are_refused(format):
    assert reason(encoded(format, Image.new("RGB", (101, 100)))) == "too_large"


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"IEND"])
def test_a_wrong_checksum_in_a_png_is_refused(kind):
    data = bytearray(encoded("PNG"))
    at = data.index(kind)
    length = struct.unpack(">I", data[at - 4 : at])[0]
    data[at + 4 + length] ^= 1
    assert reason(bytes(data)) == "corrupt"


def test_a_png_that_lies_about_its_rows_is_refused():
    short = zlib.compress(bytes(10))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20, 20, 8, 2, 0, 0, 0))
    assert reason(data + chunk(b"IDAT", short) + chunk(b"IEND", b"")) in {"truncated", "corrupt"}


def test_what_libjpeg_only_warns_of_is_refused():
    data = bytearray(encoded("JPEG", quality=90))
    scan = data.index(b"\xff\xda")
    # Bytes between the scan's end and the next marker: libjpeg skips them, with a warning.
    junk = bytes(data[:-2]) + b"\x12\x34\x56" * 5 + bytes(data[-2:])
    assert scan < len(junk)
    assert reason(junk) == "decoder_warning"


def test_what_pillow_only_warns_of_is_refused():
    data = encoded("TIFF")
    directory = struct.unpack_from("<I", data, 4)[0]
    # A value beyond the end of the file: Pillow goes on without it, with a warning.
    damaged = bytearray(data)
    count = struct.unpack_from("<H", data, directory)[0]
    for number in range(count):
        entry = directory + 2 + 12 * number
        if struct.unpack_from("<H", data, entry)[0] == 258:
            struct.pack_into("<I", damaged, entry + 8, len(data) + 1000)
    assert reason(bytes(damaged)) in {"decoder_warning", "corrupt", "truncated"}


def test_what_follows_the_end_of_an_image_does_no_harm():
    for format in ("JPEG", "PNG"):
        tail = b"PK\x03\x04" + b"a polyglot" * 10
        with_tail = decode(encoded(format) + tail, "", LIMITS).pixels
        assert (with_tail == decode(encoded(format), "", LIMITS).pixels).all()
