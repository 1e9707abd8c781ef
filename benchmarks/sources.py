"""Folders of images to measure on: parts of CIFAR-10, large photographs, a newcomer's pile."""

import math
import os
import shutil
import unicodedata
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

NUM_BASES = 40
LARGE_SIZE = (4000, 3000)
# A space, a letter with an accent, one beyond Latin, one in capitals.
SHAPES = ("round things", "carré", "τρίγωνο", "CROSS")
_Drawer = Callable[[ImageDraw.ImageDraw, float, float, float], None]
FORMATS = (".png", ".JPG", ".bmp", ".webp", ".TIFF", ".jpeg", ".gif", ".PNG")


def take_cifar10(source: Path, num_images: int, folder: Path) -> Path:
    """The first images of each class, five of train to one of test, without copying their bytes
    where the file system allows."""
    for split, share in (("train", 5 / 6), ("test", 1 / 6)):
        classes = sorted(path for path in (source / split).iterdir() if path.is_dir())
        count = round(num_images * share / len(classes))
        for place in classes:
            target = folder / split / place.name
            target.mkdir(parents=True)
            for path in sorted(place.iterdir())[:count]:
                link_or_copy(path, target / path.name)
    return folder


def link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def count_images(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def add_images(folder: Path, num_images: int, prefix: str) -> None:
    """New 32 × 32 JPEGs, under names that come after those of digits."""
    for number in range(num_images):
        rng = np.random.default_rng([number, *prefix.encode()])
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC)
        image.save(folder / f"{prefix}{number:04d}.jpg", quality=90)


def make_large(folder: Path, numbers: range, num_workers: int) -> Path:
    """12-megapixel JPEGs of these numbers in four classes, no two alike."""
    for number in range(4):
        (folder / f"class {number}").mkdir(parents=True, exist_ok=True)
    paths = {i: folder / f"class {i % 4}" / f"{i:05d}.jpg" for i in numbers}
    # A worker keeps one base at a time, so it is given all images of a base in a row.
    order = sorted(numbers, key=lambda i: i % NUM_BASES)
    with ProcessPoolExecutor(num_workers, get_context("spawn")) as pool:
        jobs = pool.map(_save_large, order, (paths[i] for i in order), chunksize=10)
        assert sum(1 for _ in jobs) == len(numbers)
    return folder


def _save_large(number: int, path: Path) -> None:
    # The base moved round its edges: other pixels at every place, for the price of a copy.
    rng = np.random.default_rng(number)
    shift = tuple(int(rng.integers(0, size)) for size in LARGE_SIZE[::-1])
    moved = np.roll(_base(number % NUM_BASES), shift, axis=(0, 1))
    Image.fromarray(moved).save(path, quality=85)


@cache
def _gradient() -> np.ndarray:
    width, height = LARGE_SIZE
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([x / width, y / height, (x + y) / (width + height)], axis=-1)


_BASES: dict[int, np.ndarray] = {}


def _base(number: int) -> np.ndarray:
    """A smooth picture with the grain of a camera, uint8 (H, W, 3)."""
    if number not in _BASES:
        _BASES.clear()
        rng = np.random.default_rng(number)
        waves = np.sin(_gradient() * rng.uniform(3, 30, 3).astype(np.float32))
        grain = rng.standard_normal(waves.shape, dtype=np.float32) * 12
        _BASES[number] = np.clip(128 + 90 * waves + grain, 0, 255).astype(np.uint8)
    return _BASES[number]


def make_odd(folder: Path, per_class: int) -> Path:
    """A newcomer's pile: shapes in four classes, of many sizes and formats, under names with
    blanks, capitals and both Unicode forms, and one file cut short."""
    paths = []
    for label, draw in zip(SHAPES, _DRAWERS, strict=True):
        for number in range(per_class):
            form = "NFD" if number % 2 else "NFC"
            place = folder / unicodedata.normalize(form, label)
            place.mkdir(parents=True, exist_ok=True)
            path = place / f"photo {number} (é){FORMATS[number % len(FORMATS)]}"
            _draw_shape(draw, len(paths)).save(path)
            paths.append(path)
    data = paths[0].read_bytes()
    paths[0].write_bytes(data[: len(data) // 2])
    return folder


def _draw_shape(draw: _Drawer, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    width, height = (int(size) for size in rng.integers(40, 160, 2))
    paper = Image.fromarray(rng.integers(0, 60, (height, width, 3), dtype=np.uint8))
    radius = min(width, height) * rng.uniform(0.25, 0.4)
    x = rng.uniform(radius, width - radius)
    y = rng.uniform(radius, height - radius)
    draw(ImageDraw.Draw(paper), x, y, radius)
    return paper


def _circle(canvas: ImageDraw.ImageDraw, x: float, y: float, r: float) -> None:
    canvas.ellipse((x - r, y - r, x + r, y + r), fill="white")


def _square(canvas: ImageDraw.ImageDraw, x: float, y: float, r: float) -> None:
    canvas.rectangle((x - r, y - r, x + r, y + r), outline="white", width=max(2, int(r / 4)))


def _triangle(canvas: ImageDraw.ImageDraw, x: float, y: float, r: float) -> None:
    angles = [math.pi * (2 * corner / 3 - 0.5) for corner in range(3)]
    corners = [(x + r * math.cos(a), y + r * math.sin(a)) for a in angles]
    canvas.polygon(corners, fill="white")


def _cross(canvas: ImageDraw.ImageDraw, x: float, y: float, r: float) -> None:
    width = max(2, int(r / 3))
    canvas.line((x - r, y - r, x + r, y + r), fill="white", width=width)
    canvas.line((x - r, y + r, x + r, y - r), fill="white", width=width)


_DRAWERS = (_circle, _square, _triangle, _cross)
