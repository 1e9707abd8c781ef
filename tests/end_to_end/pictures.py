"""Drawn pictures of shapes, in all the formats and states that people have files in."""

import io
import unicodedata
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

SECRET = "4712-SECRET-PLACE"
SHAPES = ("circle", "square", "triangle")


def draw(shape: str, number: int, width: int = 40, height: int = 40) -> Image.Image:
    """A shape in colour on noise, somewhat different for every number."""
    rng = np.random.default_rng([SHAPES.index(shape), number])
    noise = rng.integers(0, 90, (height, width, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    centre = np.array([width, height]) / 2 + rng.uniform(-4, 4, 2)
    radius = min(width, height) * rng.uniform(0.25, 0.38)
    colour = tuple(int(value) for value in rng.integers(130, 255, 3))
    box = [*(centre - radius), *(centre + radius)]
    pen = ImageDraw.Draw(picture)
    if shape == "circle":
        pen.ellipse(box, fill=colour)
    elif shape == "square":
        pen.rectangle(box, fill=colour)
    else:
        pen.polygon(
            [(centre[0], box[1]), (box[0], box[3]), (box[2], box[3])],
            fill=colour,
        )
    return picture


def encode(picture: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format=form, **options)
    return file.getvalue()


def save_shapes(folder: Path, counts: dict[str, int]) -> None:
    """PNG files `folder/<shape>/<number>.png`."""
    for shape, count in counts.items():
        (folder / shape).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            data = encode(draw(shape, number), "PNG")
            (folder / shape / f"{number:03d}.png").write_bytes(data)


def _located() -> Image.Exif:
    """Turned by a quarter, and with a place in it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8825] = {18: SECRET, 1: "N", 2: (52.0, 31.0, 12.0)}
    return exif


def odd_pictures() -> dict[str, bytes]:
    """Readable files by path, none of them plain."""
    nfd = unicodedata.normalize("NFD", "Dreieck schön é.png")
    note = PngInfo()
    note.add_text("Comment", SECRET)
    wide = draw("circle", 900, 60, 30)
    see_through = draw("circle", 901).convert("RGBA")
    see_through.putalpha(Image.linear_gradient("L").resize(see_through.size))
    grey = np.asarray(draw("square", 902).convert("L")).astype(np.uint16) * 257
    return {
        "circle/holiday photo.JPG": encode(wide, "JPEG", exif=_located(), quality=95),
        "circle/alpha.PNG": encode(see_through, "PNG"),
        "square/sixteen bit.png": encode(Image.fromarray(grey), "PNG"),
        "square/palette.png": encode(draw("square", 903).convert("P"), "PNG", transparency=0),
        "square/scan.Jpeg": encode(draw("square", 904, 90, 70).convert("CMYK"), "JPEG"),
        "square/#1 100%.bmp": encode(draw("square", 905), "BMP"),
        f"triangle/{nfd}": encode(draw("triangle", 906, 33, 47), "PNG", pnginfo=note),
        "triangle/web.WEBP": encode(draw("triangle", 907, 64, 64), "WEBP", exif=_located()),
        "triangle/old.gif": encode(draw("triangle", 908), "GIF"),
        "triangle/'quoted', \"twice\" & <b>.png": encode(draw("triangle", 909), "PNG"),
    }


def broken_pictures() -> dict[str, tuple[bytes, str]]:
    """Files that are no pictures, by path, and the reason why they must be rejected."""
    whole = encode(draw("circle", 910), "PNG")
    return {
        "circle/nothing.png": (b"", "empty"),
        "circle/page.jpg": (b"<!doctype html><title>404</title>", "unknown_format"),
        "circle/half.png": (whole[: len(whole) // 2], "truncated"),
    }
