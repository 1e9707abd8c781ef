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
LARGE = LIMITS.model_copy(update={"max_file_bytes": 10**7})
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
ENDINGS = {
    "JPEG": "jpg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif", "GIF": "gif",
}  # fmt: skip


def encoded(format: str, image: Image.Image | None = None, **options) -> bytes:
    file = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(file, format, **options)
    return file.getvalue()


def reason(data: bytes, name: str = "", limits: Limits = LIMITS) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, name, limits)
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


def test_a_side_shorter_than_allowed_is_refused_undecoded():
    limits = LIMITS.model_copy(update={"min_size": 4, "max_pixels": 10**6})
    for format in FORMATS:
        for size in ((3, 9), (9, 3), (1, 1), (1, 5000), (5000, 3)):
            data = encoded(format, Image.new("RGB", size))
            # Cut short, a JPEG or PNG tells its size before it could be decoded.
            data = data[:-2] + b"\xff\xd9" if format == "JPEG" else data
            with pytest.raises(ImageError, match=f"too_small: {size[0]} × {size[1]} pixels"):
                decode(data, "", limits)
        assert decode(encoded(format, Image.new("RGB", (4, 4))), "", limits).width == 4


# What is small on the disk and long, or large, in a decoder.


def test_a_jpeg_of_endless_scans_is_refused_undecoded():
    data = encoded("JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    assert reason(data[:-2] + scan * 100 + b"\xff\xd9", "a.jpg") == "too_many_scans"
    assert decode(data, "a.jpg", LIMITS).format == "JPEG"


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    data = encoded("PNG")
    at = data.index(b"IDAT") - 4
    made = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return data[:at] + b"".join(made) + data[at:]


@pytest.mark.parametrize(
    ("kind", "head"), [(b"iCCP", b"x\0\0"), (b"zTXt", b"x\0\0"), (b"iTXt", b"x\0\1\0\0\0")]
)
def test_a_chunk_that_explodes_is_refused(kind, head):
    # Pillow stops unpacking at a megabyte.
    data = png_with((kind, head + zlib.compress(bytes(50_000_000), 9)))
    assert len(data) < 60_000
    assert reason(data) == "corrupt"


def test_a_second_colour_profile_is_refused():
    profile = (b"iCCP", b"x\0\0" + zlib.compress(bytes(1000)))
    assert decode(png_with(profile), "", LIMITS).format == "PNG"
    assert reason(png_with(profile, profile)) == "corrupt"


def test_pixels_that_unpack_to_more_than_the_image_are_left_packed():
    header = struct.pack(">IIBBBBB", 20, 24, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(50_000_000), 9)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    assert not decode(data, "", LIMITS).pixels.any()


GIF_HEAD = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes(6)
GIF_FRAME = b"\x2c" + struct.pack("<HHHHB", 0, 0, 4, 4, 0) + b"\x02\x02\x44\x01\x00"


def test_a_gif_of_endless_blocks_is_refused():
    assert reason(GIF_HEAD + GIF_FRAME * 4 + b";") == "too_many_frames"
    assert reason(GIF_HEAD + GIF_FRAME * 200_000 + b";", "", LARGE) == "too_many_frames"
    notes = b"\x21\xfe\x01a\x00" * 200_000
    assert reason(GIF_HEAD + notes + GIF_FRAME + b";", "", LARGE) == "corrupt"


def test_a_gif_whose_screen_or_frame_is_huge_is_refused():
    huge = struct.pack("<HH", 65_535, 65_535)
    assert reason(GIF_HEAD[:6] + huge + GIF_HEAD[10:] + GIF_FRAME + b";") == "too_large"
    assert reason(GIF_HEAD + GIF_FRAME[:5] + huge + GIF_FRAME[9:] + b";") == "too_large"


def tiff(num_pages: int, after_last: int = 0, **changed: int) -> bytes:
    """Grey pages of 4 × 4 pixels that share their bytes; `changed`: values by name of the tag."""
    tags = {"width": 256, "height": 257, "bits": 258, "coding": 259, "colours": 262, "at": 273}
    tags |= {"channels": 277, "rows": 278, "length": 279, "tile_width": 322, "tile_height": 323}
    values = {"width": 4, "height": 4, "bits": 8, "coding": 1, "colours": 1, "at": 8}
    values |= {"channels": 1, "rows": 4, "length": 16, **changed}
    entries = b"".join(
        struct.pack("<HHII", tags[name], 4, 1, values[name]) for name in tags if name in values
    )
    data = bytearray(b"II*\0" + struct.pack("<I", 24) + bytes(range(16)))
    for page in range(num_pages):
        following = len(data) + 2 + len(entries) + 4 if page < num_pages - 1 else after_last
        data += struct.pack("<H", len(values)) + entries + struct.pack("<I", following)
    return bytes(data)


def test_pages_of_a_tiff_are_counted_as_far_as_allowed():
    for num_pages in (1, 3):
        assert decode(tiff(num_pages), "a.tif", LIMITS).pixels[3, 3] == 15
    for num_pages in (4, 10_000):
        assert reason(tiff(num_pages), "a.tif", LARGE) == "too_many_frames"


def test_pages_of_a_tiff_that_lead_round_end():
    assert decode(tiff(3, after_last=24), "a.tif", LIMITS).pixels[3, 3] == 15


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"width": 60_000, "height": 60_000}, "too_large"),
        ({"tile_width": 60_000, "tile_height": 60_000, "coding": 8}, "corrupt"),
        ({"channels": 60_000}, "corrupt"),
    ],
)
def test_a_tiff_that_lies_about_its_size_is_refused(changed, expected):
    assert reason(tiff(1, **changed), "a.tif") == expected


@pytest.mark.parametrize("side", [5000, -(2**31), 2**31 - 1])
def test_a_bmp_that_lies_about_its_size_is_refused(side):
    header = struct.pack("<IiiHHIIiiII", 40, 16, side, 1, 24, 0, 0, 0, 0, 0, 0)
    data = b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54) + header + bytes(800)
    assert reason(data) == "too_large"


def test_a_webp_whose_canvas_is_huge_or_whose_frames_are_many_is_refused():
    still = encoded("WEBP", lossless=True)
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xfe\xff\xff" * 2
    data = b"RIFF" + struct.pack("<I", len(still) - 8 + len(canvas)) + b"WEBP" + canvas + still[12:]
    assert reason(data) == "too_large"
    images = [Image.new("L", (4, 4), shade) for shade in range(0, 250, 50)]
    animated = encoded("WEBP", images[0], save_all=True, append_images=images[1:])
    assert reason(animated) == "too_many_frames"
