"""Any bytes become canonical pixels or an error with a known reason; every mode has one meaning.

Long because every mode, orientation and format is tried.
"""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.core.errors import ImageError
from tasks.core.gate import REASONS, Limits
from tasks.core.measures import Measures, measure
from tasks.core.pixels import Canonical, canonical_pixels, decode, fit

LIMITS = Limits(max_file_bytes=10_000_000, max_pixels=25_000_000, max_frames=10, min_size=1)
ORIENTATION = 0x0112


def canonical(resize: str = "squash", size: int = 16, channels: int = 3, **changed) -> Canonical:
    values = {"size": size, "channels": channels, "resize": resize, "limits": LIMITS}
    return Canonical(**{**values, **changed})  # type: ignore[arg-type]


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def noise(height: int, width: int, *channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, *channels), dtype=np.uint8)


def picture(height: int, width: int) -> Image.Image:
    """Something smooth, so that lossy formats stay close."""
    y, x = np.mgrid[:height, :width]
    bands = [127 + 120 * np.sin(x / width * 5 + k) * np.cos(y / height * 3) for k in range(3)]
    return Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8))


def decoded(data: bytes) -> np.ndarray:
    return decode(data, "", LIMITS).pixels


def made(data: bytes, asked: Canonical) -> np.ndarray:
    return canonical_pixels(data, "", asked)


def measured(data: bytes) -> Measures:
    [measures] = measure([(decode(data, "", LIMITS, smallest=512), len(data))])
    return measures


def limited(**changed: int) -> Limits:
    return LIMITS.model_copy(update=changed)


def reason(data: bytes, name: str = "", limits: Limits = LIMITS) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, name, limits)
    assert caught.value.reason in REASONS
    assert caught.value.detail
    return caught.value.reason


# What was done to the upright pixels so that the orientation undoes it (EXIF 2.3, table 4).
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_pixels_are_upright_by_their_orientation(orientation, format):
    upright = noise(5, 9, 3) if format != "JPEG" else np.asarray(picture(40, 64))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    options = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}, "JPEG": {"quality": 98}}
    data = encoded(stored, format, exif=exif, **options[format])
    tolerance = 12 if format == "JPEG" else 0
    assert np.abs(decoded(data).astype(int) - upright).max() <= tolerance
    measures = measured(data)
    assert (measures.height, measures.width) == upright.shape[:2]


@pytest.mark.parametrize("orientation", [0, 9, 4000])
def test_an_orientation_out_of_range_changes_nothing(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert (decoded(encoded(Image.fromarray(noise(5, 9, 3)), exif=exif)) == noise(5, 9, 3)).all()


def test_damaged_exif_leaves_sound_pixels():
    image = Image.fromarray(noise(8, 8, 3))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    sound = encoded(image, "WEBP", lossless=True, exif=exif)
    damaged = sound.replace(b"MM\0*", b"MM\0?")
    assert damaged != sound
    assert (decoded(damaged) == noise(8, 8, 3)).all()
    assert measured(damaged).width == 8


def test_colour_under_transparency_lies_on_white():
    layers = np.zeros((1, 3, 4), dtype=np.uint8)
    layers[0] = [[255, 0, 0, 0], [255, 0, 0, 255], [255, 0, 0, 51]]
    expected = [[255, 255, 255], [255, 0, 0], [255, 204, 204]]
    assert decoded(encoded(Image.fromarray(layers)))[0].tolist() == expected


def test_grey_under_transparency_lies_on_white_and_stays_grey():
    layers = np.array([[[0, 0], [0, 255], [100, 0]]], dtype=np.uint8)
    assert decoded(encoded(Image.fromarray(layers, mode="LA"))).tolist() == [[255, 0, 255]]


def test_a_palette_with_alpha_lies_on_white():
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    assert decoded(encoded(image)).tolist() == [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]
    clear = encoded(image, transparency=bytes([255, 0, 255]))
    assert decoded(clear).tolist() == [[[10, 20, 30], [255, 255, 255], [70, 80, 90]]]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_colour_declared_transparent_lies_on_white(mode):
    image = Image.fromarray(np.array([[7, 200]], dtype=np.uint8)).convert(mode)
    data = encoded(image, transparency=7 if mode == "L" else (7, 7, 7))
    assert decoded(data).reshape(2, -1)[:, 0].tolist() == [255, 200]
    assert decoded(data).ndim == (2 if mode == "L" else 3)


def test_sixteen_bits_become_the_upper_eight():
    levels = np.array([[0, 255, 256, 0x1234, 0xFF00, 0xFFFF]], dtype=np.uint16)
    data = encoded(Image.fromarray(levels))
    assert decoded(data).tolist() == [[0, 0, 1, 0x12, 0xFF, 0xFF]]


def test_one_bit_becomes_black_and_white():
    image = Image.fromarray(np.array([[0, 255, 255]], dtype=np.uint8)).convert("1")
    assert decoded(encoded(image)).tolist() == [[0, 255, 255]]


def test_cmyk_becomes_rgb():
    inks = Image.merge("CMYK", [Image.new("L", (16, 16), ink) for ink in (0, 255, 255, 0)])
    for format in ("JPEG", "TIFF"):
        red = decoded(encoded(inks, format)).reshape(-1, 3).mean(axis=0)
        assert red[0] > 200 and red[1] < 60 and red[2] < 60


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_mode_without_a_meaning_is_refused(mode):
    assert reason(encoded(Image.new(mode, (4, 4)), "TIFF")) == "unsupported_mode"


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "lime")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decoded(data)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP"])
def test_a_file_cut_anywhere_is_refused(format):
    whole = encoded(picture(256, 256), format)
    for share in (0.3, 0.5, 0.9):
        assert reason(whole[: int(len(whole) * share)]) in {"truncated", "corrupt"}


def test_damage_is_refused():
    png = bytearray(encoded(Image.fromarray(noise(32, 32, 3))))
    png[len(png) // 2] ^= 0xFF
    assert reason(bytes(png)) == "corrupt"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty"),
        (b"\0" * 100, "unknown_format"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "unknown_format"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"\xff\xd8\xff", "truncated"),
        (b"\xff\xd8\xff\xe0 no header \xff\xd9", "corrupt"),
        (b"%PDF-1.7\n", "unknown_format"),
        (encoded(Image.new("RGB", (8, 8)), "ICO"), "unknown_format"),
        (encoded(Image.new("RGB", (8, 8)), "PPM"), "unknown_format"),
        (encoded(Image.new("RGB", (8, 8)), "PDF"), "unknown_format"),
    ],
)
def test_what_is_no_image_of_a_known_format_is_refused(data, expected):
    assert reason(data) == expected


def blank_png(width: int, height: int) -> bytes:
    """One bit a pixel, so that a hundred megapixels fit in a few kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width // 8 + 1)) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows + packer.flush()) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture(scope="module")
def bomb() -> bytes:
    return blank_png(12_000, 12_000)


def test_a_bomb_is_refused(bomb):
    assert len(bomb) < 20_000
    assert reason(bomb) == "too_large"


def test_a_bomb_beyond_the_librarys_own_limit_is_told_as_one(bomb):
    at = bomb.index(b"IHDR")
    header = b"IHDR" + struct.pack(">II", 60_000, 60_000) + bomb[at + 12 : at + 17]
    checked = header + struct.pack(">I", zlib.crc32(header))
    assert reason(bomb[:at] + checked + bomb[at + len(checked) :]) == "too_large"


def test_a_bomb_is_refused_before_it_takes_memory(bomb, tmp_path):
    file = tmp_path / "bomb.png"
    file.write_bytes(bomb)
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from tasks.core.errors import ImageError\n"
        "from tasks.core.gate import Limits\n"
        "from tasks.core.pixels import decode\n"
        "limits = Limits(max_file_bytes=10**7, max_pixels=10**6, max_frames=1, min_size=1)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    decode(Path(sys.argv[1]).read_bytes(), '', limits)\n"
        "except ImageError as error:\n"
        "    print(error.reason, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    run = [sys.executable, "-c", program, str(file)]
    root = Path(__file__).parents[3]
    refused, growth = subprocess.run(
        run, capture_output=True, text=True, cwd=root, check=True
    ).stdout.split()
    assert refused == "too_large"
    # Decoded it would take 144 MB; ru_maxrss counts kilobytes.
    assert int(growth) < 20_000


def test_the_budget_is_met_exactly():
    data = encoded(Image.new("L", (10, 10)))
    assert decode(data, "", limited(max_pixels=100)).pixels.shape == (10, 10)
    assert reason(data, limits=limited(max_pixels=99)) == "too_large"


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 20_000), (20_000, 1), (3, 7), (16, 16), (17, 15), (15, 100), (33, 16)]
)
def test_any_size_becomes_the_canonical_one(resize, channels, size):
    pixels = made(encoded(Image.new("RGB", size, "white")), canonical(resize, 16, channels))
    assert pixels.shape == (16, 16, channels) and pixels.dtype == np.uint8
    if resize != "pad":
        assert (pixels == 255).all()
    else:
        # Some of the picture is left, however thin.
        assert pixels.max() == 255


def test_crop_keeps_the_middle_pad_adds_black_squash_keeps_all():
    thirds = np.repeat(np.array([50, 150, 250], dtype=np.uint8), 16)[None].repeat(16, axis=0)
    data = encoded(Image.fromarray(thirds))
    crop, pad, squash = (
        made(data, canonical(resize, 16, 1))[..., 0] for resize in ("crop", "pad", "squash")
    )
    assert (crop == 150).all()
    assert (pad[:5] == 0).all() and (pad[-5:] == 0).all() and (pad[7:9] > 0).all()
    assert squash[8, [0, 7, 15]].tolist() == [50, 150, 250]


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_padding_keeps_the_aspect_and_the_middle(width, height):
    pixels = fit(np.full((height, width), 255, np.uint8), canonical("pad", 12, 1))[..., 0]
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    assert (pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 255).all()
    assert max(len(rows), len(columns)) == 12
    longer = max(width, height)
    assert abs(len(rows) - 12 * height / longer) <= 0.5 or len(rows) == 1
    assert abs(len(columns) - 12 * width / longer) <= 0.5 or len(columns) == 1
    assert abs(rows[0] - (11 - rows[-1])) <= 1 and abs(columns[0] - (11 - columns[-1])) <= 1


def test_an_image_of_the_canonical_size_keeps_its_pixels():
    pixels = noise(16, 16, 3)
    for resize in ("crop", "pad", "squash"):
        assert (made(encoded(Image.fromarray(pixels)), canonical(resize)) == pixels).all()


def test_a_large_jpeg_shrunk_while_decoded_is_close_to_the_full_one():
    image = picture(3000, 4000)
    data = encoded(image, "JPEG", quality=90)
    whole = decode(data, "", LIMITS)
    for resize in ("crop", "pad", "squash"):
        asked = canonical(resize, 64)
        full = fit(whole.pixels, asked).astype(int)
        shrunk = made(data, asked).astype(int)
        assert np.abs(full - shrunk).mean() < 1.5
        assert np.abs(full - shrunk).max() < 20
    small = decode(data, "", LIMITS, smallest=64)
    assert 64 <= min(small.pixels.shape[:2]) < 3000
    assert (small.width, small.height) == (4000, 3000)


TURNED = Image.Exif()
TURNED[ORIENTATION] = 6
SEEDS = [
    encoded(picture(12, 10), "JPEG"),
    encoded(picture(12, 10), "PNG"),
    encoded(picture(12, 10), "WEBP", exif=TURNED),
    encoded(picture(12, 10), "JPEG", exif=TURNED),
    encoded(picture(12, 10), "TIFF"),
    encoded(picture(12, 10), "GIF"),
    encoded(picture(12, 10), "BMP"),
]  # fmt: skip


@st.composite
def damaged(draw):
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        # Headers break decoders in more ways than pixels do.
        data[draw(st.integers(0, min(len(data), 200) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@settings(max_examples=400, deadline=None)
@given(st.one_of(damaged(), st.binary(max_size=60)), st.sampled_from(["crop", "pad", "squash"]))
def test_any_bytes_give_pixels_or_a_known_reason(data, resize):
    asked = canonical(resize, 8, 1)
    try:
        pixels = made(data, asked)
    except ImageError as error:
        assert error.reason in REASONS
        with pytest.raises(ImageError):
            measured(data)
    else:
        assert pixels.shape == (8, 8, 1) and pixels.dtype == np.uint8
        measures = measured(data)
        assert 0 <= measures.brightness <= 1 and np.isfinite(measures.sharpness)
