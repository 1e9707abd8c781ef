"""What gets past the gate: `python -m benchmarks.gate_fuzz`.

faults      files with one known fault each: how many are refused for the reason expected
mutations   10,000 damaged copies of CIFAR-10's test images (or of generated pictures): crashes, and
            the share of each kind that is refused, or else shown: as an odd image or as a
            near-duplicate of the image it was made from. A flip that leaves every pixel as it was
            is no damage, and counts apart.

A changed file whose sha256 a manifest gives is refused at ingest, whatever is in it.
"""

import hashlib
import io
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.record import ROOT, Row, make_row
from tasks.artifacts.documents import load_yaml
from tasks.core.errors import ImageError
from tasks.core.gate import Limits
from tasks.core.issues import Thresholds, find_issues
from tasks.core.measures import MEASURED_SIZE, measure
from tasks.core.near_duplicates import NUM_VARIANTS, measure_differences
from tasks.core.pixels import Canonical, Picture, decode, fit

LIMITS = Limits(max_file_bytes=50_000_000, max_pixels=25_000_000, max_frames=100, min_size=1)
CANONICAL = Canonical(size=32, channels=3, resize="squash", limits=LIMITS)
_NEAR = 0.03


class Fault(NamedTuple):
    """A file, its name, and the reason for which it must be refused."""

    name: str
    data: bytes
    reason: str


def _picture(seed: int, side: int = 32) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def _encoded(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _bomb(side: int = 12_000) -> bytes:
    """144 megapixels of one bit in 17 kB."""
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def find_faults() -> list[Fault]:
    jpeg, png, gif, webp = (_encoded(_picture(1), kind) for kind in ("JPEG", "PNG", "GIF", "WEBP"))
    frames = [Image.new("L", (4, 4), shade) for shade in range(120)]
    passes = _encoded(_picture(1), "JPEG", progressive=True)
    last_pass = passes[passes.rindex(b"\xff\xda") : -2]
    profile = _chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1_000_000)))
    before_pixels = png.index(b"IDAT") - 4
    wrong_sum = bytearray(png)
    wrong_sum[png.index(b"IDAT") - 5] ^= 1
    return [
        Fault("empty.jpg", b"", "empty"),
        Fault("cut.jpg", jpeg[: len(jpeg) // 2], "truncated"),
        Fault("cut.png", png[: len(png) // 2], "truncated"),
        Fault("cut.gif", gif[: len(gif) // 2], "truncated"),
        Fault("cut.webp", webp[: len(webp) // 2], "truncated"),
        Fault("page.jpg", b"<!DOCTYPE html><html></html>", "unknown_format"),
        Fault("archive.png", b"PK\x03\x04" + bytes(60), "unknown_format"),
        Fault("renamed.png", jpeg, "wrong_extension"),
        Fault("renamed.jpg", png, "wrong_extension"),
        Fault("sum.png", bytes(wrong_sum), "corrupt"),
        Fault("bomb.png", _bomb(), "too_large"),
        Fault("heavy.jpg", jpeg + bytes(50_000_000), "file_too_large"),
        Fault(
            "long.gif",
            _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
            "too_many_frames",
        ),
        Fault("passes.jpg", passes[:-2] + last_pass * 1000 + b"\xff\xd9", "too_many_scans"),
        Fault("profiles.png", png[:before_pixels] + profile * 99 + png[before_pixels:], "corrupt"),
        Fault("junk.jpg", jpeg[:-2] + b"\x12\x34" * 8 + jpeg[-2:], "decoder_warning"),
        Fault("float.tif", _encoded(Image.new("F", (8, 8)), "TIFF"), "unsupported_mode"),
    ]


def measure_faults(setting: Setting) -> Iterator[Row]:
    faults = find_faults()
    refused = [fault.name for fault in faults if _reason(fault.data, fault.name) == fault.reason]
    missed = sorted({fault.name for fault in faults} - set(refused))
    if missed:
        say(f"not refused for the reason expected: {missed}")
    yield make_row("faults: refused for the reason expected", len(refused), "", len(faults))


def _reason(data: bytes, name: str) -> str | None:
    try:
        decode(data, name, LIMITS)
    except ImageError as error:
        return error.reason
    return None


Mutation = Callable[[bytes, bytes, np.random.Generator], bytes]


def _flip(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    changed[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return bytes(changed)


def _splice(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(1, min(len(data), len(other))))
    return data[:at] + other[at:]


def _overwrite(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    return rng.bytes(24) + data[24:]


MUTATIONS: dict[str, Mutation] = {
    "cut": lambda data, other, rng: data[: rng.integers(0, len(data))],
    "renamed": lambda data, other, rng: data,
    "undecodable": _overwrite,
    "one bit flipped": _flip,
    "spliced": _splice,
}


class Outcome(NamedTuple):
    """What became of a damaged file: refused for `reason`, or decoded to `picture`; `same` if the
    pixels are those of the file it was made from."""

    reason: str | None
    picture: Picture | None
    same: bool
    source: int
    num_bytes: int


def measure_mutations(setting: Setting) -> Iterator[Row]:
    files = _load_files(setting)
    originals = [decode(data, "", LIMITS) for data in files]
    rng = np.random.default_rng(0)
    each = setting.options.num_mutated // len(MUTATIONS)
    crashes = 0
    for kind, mutate in MUTATIONS.items():
        say(f"{each:,} files: {kind}")
        outcomes: list[Outcome] = []
        altered = 0
        for source in rng.integers(0, len(files), each).tolist():
            other = files[int(rng.integers(len(files)))]
            data = mutate(files[source], other, rng)
            altered += hashlib.sha256(data).digest() != hashlib.sha256(files[source]).digest()
            name = "a.png" if kind == "renamed" else "a.jpg"
            try:
                outcomes.append(_try(data, name, originals[source], source))
            except Exception as error:
                say(f"crash: {error!r}")
                crashes += 1
        yield from _rows(kind, outcomes, originals, altered)
    name = f"mutations: crashes in {each * len(MUTATIONS):,} files"
    yield make_row(name, crashes, "")


def _try(data: bytes, name: str, original: Picture, source: int) -> Outcome:
    try:
        picture = decode(data, name, LIMITS, smallest=MEASURED_SIZE)
    except ImageError as error:
        return Outcome(error.reason, None, False, source, len(data))
    same = np.array_equal(picture.pixels, original.pixels)
    return Outcome(None, picture, same, source, len(data))


def _rows(
    kind: str, outcomes: list[Outcome], originals: list[Picture], altered: int
) -> Iterator[Row]:
    of = len(outcomes)
    refused = [one for one in outcomes if one.reason]
    yield make_row(f"mutations: {kind}, refused", len(refused) / of, "")
    warned = Counter(one.reason for one in outcomes)["decoder_warning"]
    if warned:
        yield make_row(f"mutations: {kind}, refused for a decoder's warning", warned / of, "")
    past = [one for one in outcomes if not one.reason]
    if not past:
        return
    harmless = sum(one.same for one in past)
    yield make_row(f"mutations: {kind}, every pixel as it was", harmless / of, "")
    changed = [one for one in past if not one.same]
    seen = _seen(changed, originals)
    yield make_row(f"mutations: {kind}, past the gate, but shown", sum(seen) / of, "")
    unseen = (len(changed) - sum(seen)) / of
    yield make_row(f"mutations: {kind}, past the gate and not shown", unseen, "")
    yield make_row(f"mutations: {kind}, bytes that a sha256 tells", altered / of, "")


def _seen(changed: list[Outcome], originals: list[Picture]) -> np.ndarray:
    """Whether each is an odd image among all, or a near-duplicate of what it was made from."""
    if not changed:
        return np.zeros(0, dtype=bool)
    pictures = [(one.picture, one.num_bytes) for one in changed if one.picture is not None]
    usual = [(picture, 900) for picture in originals]
    table = pd.DataFrame(measure([*pictures, *usual]))
    table["image_id"] = [str(number) for number in range(len(table))]
    params = load_yaml(ROOT / "params.yaml")["validate"]
    thresholds = Thresholds.model_validate(params["issues"])
    issues = find_issues(table, thresholds, params["issue_fence"])
    odd = table["image_id"][: len(pictures)].isin(issues["image_id"]).to_numpy()
    damaged = np.stack([fit(picture.pixels, CANONICAL) for picture, _ in pictures])
    sources = np.stack([fit(originals[one.source].pixels, CANONICAL) for one in changed])
    apart = [
        measure_differences(damaged, sources, np.full(len(damaged), variant))
        for variant in range(NUM_VARIANTS)
    ]
    return odd | (np.min(apart, axis=0) <= _NEAR)


def _load_files(setting: Setting) -> list[bytes]:
    if setting.cifar10 is None:
        return [_encoded(_picture(seed), "JPEG", quality=90) for seed in range(1000)]
    paths = sorted((setting.cifar10 / "test").rglob("*.jpg"))[:: setting.options.every]
    return [path.read_bytes() for path in paths]


CELLS = (Cell("faults", measure_faults), Cell("mutations", measure_mutations))


def main(argv: list[str]) -> None:
    parser = topic_parser("gate_fuzz", __doc__, CELLS)
    parser.add_argument("--num-mutated", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=5, help="of the test images one is used")
    run_cells("gate_fuzz", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
