"""Near-duplicates among many: `python -m benchmarks.duplicates`.

planted   copies of CIFAR-10 images, re-encoded, resized, shifted or cropped, put among all: how
          many are found, and how many of what is found was planted
seconds   the search at half of the images and at all of them

All need TILTH_CIFAR10. A shift is of one or two pixels of 32 (3 or 6 %), a crop takes 5 % off the
width and the height. CIFAR-10 has near-duplicates of its own, which count as not planted: the share
planted is a lower bound of the precision. `--sheet` draws the pairs that were not planted.
"""

import argparse
import io
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.record import ROOT, Row, make_row
from benchmarks.workspace import temporary_folder
from tasks.artifacts.documents import load_yaml
from tasks.artifacts.images import Images, save_pixels
from tasks.core.gate import Limits
from tasks.core.pixels import Canonical, canonical_pixels
from tasks.split import Params, find_near_duplicates

LIMITS = Limits(max_file_bytes=10_000_000, max_pixels=10_000_000, max_frames=1, min_size=1)
CANONICAL = Canonical(size=32, channels=3, resize="squash", limits=LIMITS)
PARAMS = Params.model_validate(load_yaml(ROOT / "params.yaml")["split"])
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _resized(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    side = round(image.width * rng.uniform(0.75, 2))
    return image.resize((side, side), Image.Resampling.BICUBIC)


def _shifted(image: Image.Image, rng: np.random.Generator, most: int = 1) -> Image.Image:
    pixels = np.asarray(image)
    moves = [(y, x) for y in range(-most, most + 1) for x in range(-most, most + 1)]
    down, right = moves[rng.choice([n for n, m in enumerate(moves) if max(map(abs, m)) == most])]
    rows = np.clip(np.arange(len(pixels)) - down, 0, len(pixels) - 1)
    columns = np.clip(np.arange(pixels.shape[1]) - right, 0, pixels.shape[1] - 1)
    return Image.fromarray(pixels[rows][:, columns])


def _cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    left, top = rng.uniform(0, 0.05, 2) * image.width
    side = 0.95 * image.width
    box = (left, top, left + side, top + side)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)


CHANGES: dict[str, Change] = {
    "re-encoded at quality 60": lambda image, rng: image,
    "resized by 0.75 to 2": _resized,
    "shifted by 1 pixel": _shifted,
    "shifted by 2 pixels": lambda image, rng: _shifted(image, rng, 2),
    "cropped by 5 %": _cropped,
}


def measure_planted(setting: Setting) -> Iterator[Row]:
    found_by_kind: dict[str, list[float]] = {name: [] for name in CHANGES}
    shares: list[float] = []
    for seed in range(setting.options.seeds):
        images = _load(setting)
        rng = np.random.default_rng(seed)
        bases = rng.choice(len(images), setting.options.num_planted, replace=False)
        kinds = [list(CHANGES)[number % len(CHANGES)] for number in range(len(bases))]
        copies = [
            _decoded(_jpeg(CHANGES[kind](Image.fromarray(images[base]), rng), 60))
            for base, kind in zip(bases, kinds, strict=True)
        ]
        say(f"{len(images):,} images and {len(copies)} copies, seed {seed}")
        pixels = np.concatenate([images, np.stack(copies)])
        pairs = _search(pixels)
        # A copy may be joined to the first of several that are alike.
        met = {len(images) + number for number in range(len(bases))} & set(pairs[:, 1].tolist())
        for kind in CHANGES:
            ours = [len(images) + n for n, one in enumerate(kinds) if one == kind]
            found_by_kind[kind].append(sum(row in met for row in ours) / len(ours))
        planted = pairs[:, 1] >= len(images)
        shares.append(float(planted.mean()))
        if setting.options.sheet:
            _draw(pixels, pairs[~planted], setting.options.sheet)
    of = f"{setting.options.num_planted} copies"
    for kind, recalls in found_by_kind.items():
        yield make_row(f"planted: recall of {of}, {kind}", recalls, "")
    every = [float(np.mean(one)) for one in zip(*found_by_kind.values(), strict=True)]
    yield make_row(f"planted: recall of {of}, all kinds", every, "")
    yield make_row("planted: share of the pairs found that was planted", shares, "")


def measure_seconds(setting: Setting) -> Iterator[Row]:
    images = _load(setting)
    halves: list[float] = []
    wholes: list[float] = []
    for _ in range(3):
        for rows, seconds in ((len(images) // 2, halves), (len(images), wholes)):
            started = time.perf_counter()
            _search(images[:rows])
            seconds.append(time.perf_counter() - started)
    name = f"seconds: {len(images):,} images, against {len(images) // 2:,}"
    yield make_row(name, wholes, "s", halves)


def _search(pixels: np.ndarray) -> np.ndarray:
    with temporary_folder() as folder:
        save_pixels(pixels, folder / "all.npy")
        return find_near_duplicates(Images(folder), PARAMS)


def _load(setting: Setting) -> np.ndarray:
    assert setting.cifar10 is not None
    paths = sorted(path for path in setting.cifar10.rglob("*.jpg"))[: setting.options.num_images]
    return np.stack([_decoded(path.read_bytes()) for path in paths])


def _decoded(data: bytes) -> np.ndarray:
    return canonical_pixels(data, "", CANONICAL)


def _draw(pixels: np.ndarray, pairs: np.ndarray, path: Path) -> None:
    """Pairs that were not planted, one above the other, for people to judge."""
    shown = pairs[:120]
    sheet = Image.new("RGB", (20 * 70, 6 * 140), "white")
    for number, (first, second) in enumerate(shown.tolist()):
        left, top = number % 20 * 70, number // 20 * 140
        for row, down in ((first, 0), (second, 66)):
            tile = Image.fromarray(pixels[row]).resize((64, 64), Image.Resampling.NEAREST)
            sheet.paste(tile, (left, top + down))
    sheet.save(path)


CELLS = (
    Cell("planted", measure_planted, needs_cifar10=True),
    Cell("seconds", measure_seconds, needs_cifar10=True),
)


def main(argv: list[str]) -> None:
    parser: argparse.ArgumentParser = topic_parser("duplicates", __doc__, CELLS)
    parser.add_argument("--num-images", type=int, help="of CIFAR-10; all if left out")
    parser.add_argument("--num-planted", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sheet", type=Path, help="a PNG of what was found and not planted")
    run_cells("duplicates", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
