"""The way of the data at scale: `python -m benchmarks.data_path`; long because it has five cells.

speed        images/s of ingest, validate and clean on CIFAR-10, each against a plain loop in one
             process (at least 0.5 ×, 0.4 ×, 1 ×)
memory       the most that each holds, at half of the images and at all (1.5 GB at most, the same)
new-files    100 files more: how many shards are new, how long it takes (at most 0.3 × the first
             run) beside the same stages on next to nothing, and what the project takes on disk
large        speed, memory and disk of 12-megapixel photographs, generated for the purpose
large-new    as many new files among those: what reading them takes against starting the stages

The cells of CIFAR-10 need TILTH_CIFAR10. A stage's seconds are those of its `main`, as the stage
itself records them in runs/<stage>.json; the seconds of its whole process stand in rows of their
own. Memory is the sum of the resident sets of the process and all its workers, sampled every 50 ms.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import workspace
from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.record import ROOT, Row, make_row
from benchmarks.sources import add_images, count_images, make_large, take_cifar10
from benchmarks.workspace import repro, run

STAGES = ("ingest", "validate", "clean")
BASELINES = {
    "ingest": ("read", "os.walk, open, read, sha256"),
    "validate": ("decode", "Pillow, one process"),
    "clean": ("decode", "Pillow, one process"),
}
CIFAR10_PARAMS = {"clean.image_size": 32, "clean.channels": 3}
LARGE_PARAMS = {"clean.image_size": 224, "clean.channels": 3, "clean.resize": "crop"}
NUM_NEW = 100
# CIFAR-10 weighs about 60 MB, so that such shards are as many as a gigabyte has at 64 MB.
SMALL_SHARDS = 4_000_000
KEPT = ("data", ".dvc/cache", ".cache")
GB, MB = 1e9, 1e6


class Staged(NamedTuple):
    """A stage run by itself, from nothing remembered."""

    main_seconds: float
    process_seconds: float
    peak_bytes: int


def run_stage(root: Path, stage: str) -> Staged:
    """Runs a stage's command as dvc.yaml has it, without DVC, and without what was remembered."""
    shutil.rmtree(root / ".cache" / stage, ignore_errors=True)
    ran = run(root, *workspace.stage_command(root, stage))
    return Staged(workspace.stage_seconds(root, stage), ran.seconds, ran.peak_bytes)


def baseline(action: str, source: Path, limit: int | None = None) -> float:
    """Images/s of a plain loop in a process of its own."""
    script = str(ROOT / "benchmarks" / "baselines.py")
    more = () if limit is None else (str(limit),)
    told = json.loads(run(ROOT, "python", script, action, str(source), *more).output)
    return told["images"] / told["seconds"]


def clone_for(setting: Setting, source: Path, params: Mapping[str, Any]) -> Path:
    root = setting.clones.new()
    sources = {"images": {"type": "folder", "root": str(source)}}
    workspace.set_params(root, {"ingest.sources": sources, **params})
    # Params are checked once per change; the first stage's process is not to pay for that.
    run(root, "python", "-m", "tasks.stage", "--check")
    return root


def taken(setting: Setting, folder: Path, share: float = 1.0) -> Path:
    """A folder of hard links to the part of CIFAR-10 that was asked for."""
    assert setting.cifar10 is not None
    wanted = setting.options.num_images or count_images(setting.cifar10)
    return take_cifar10(setting.cifar10, round(wanted * share), folder)


def measure_speed(setting: Setting) -> Iterator[Row]:
    with workspace.temporary_folder() as folder:
        source = taken(setting, folder / "images")
        count = count_images(source)
        root = clone_for(setting, source, CIFAR10_PARAMS)
        # All files are read once, so that neither side pays for the disk.
        baseline("read", source)
        for stage in STAGES:
            done: list[Staged] = []
            action, name = BASELINES[stage]

            def by_stage(stage: str = stage, done: list[Staged] = done) -> float:
                done.append(run_stage(root, stage))
                return count / done[-1].main_seconds

            def by_loop(action: str = action) -> float:
                return baseline(action, source)

            say(f"{stage} on {count:,} images")
            speeds, loops = workspace.alternate(setting.options.repeats, by_stage, by_loop)
            yield make_row(f"speed: {stage}, against {name}", speeds, "images/s", loops)
            process = [one.process_seconds for one in done]
            yield make_row(f"speed: {stage}, whole process, {count:,} images", process, "s")


def measure_memory(setting: Setting) -> Iterator[Row]:
    peaks: dict[tuple[str, float], int] = {}
    counts: dict[float, int] = {}
    for share in (0.5, 1.0):
        with workspace.temporary_folder() as folder:
            source = taken(setting, folder / "images", share)
            counts[share] = count_images(source)
            root = clone_for(setting, source, CIFAR10_PARAMS)
            for stage in STAGES:
                say(f"{stage} on {counts[share]:,} images")
                peaks[stage, share] = run_stage(root, stage).peak_bytes
    for stage in STAGES:
        half, whole = (peaks[stage, share] / GB for share in (0.5, 1.0))
        name = f"memory: {stage}, {counts[1.0]:,} images, against {counts[0.5]:,}"
        yield make_row(name, whole, "GB", half)


def measure_new_files(setting: Setting) -> Iterator[Row]:
    rounds = [add_new_files(setting) for _ in range(setting.options.repeats)]
    last = rounds[-1]
    of = f"shards of {setting.options.shard_bytes / MB:g} MB"
    firsts = [one.first_seconds for one in rounds]
    yield make_row(f"new-files: ingest to split, first run, {last.num_shards} {of}", firsts, "s")
    name = "new-files: data, .dvc/cache and .cache on disk, against the source"
    yield make_row(name, last.used_bytes / MB, "MB", last.source_bytes / MB)
    for number, added in enumerate(last.added):
        what = f"{NUM_NEW} new files in {added.place}"
        name = f"new-files: new shards after {what}, of all, {of}"
        yield make_row(name, added.num_new, "", added.num_shards)
        seconds = [one.added[number].seconds for one in rounds]
        yield make_row(f"new-files: {what}, against the first run", seconds, "s", firsts)
    started = [start_stages(setting) for _ in rounds]
    name = "new-files: the same stages on digits, against the first run"
    yield make_row(name, started, "s", firsts)


def start_stages(setting: Setting) -> float:
    """Seconds from ingest to split on next to nothing: what no snapshot can take less than."""
    root = setting.clones.new()
    run(root, "python", "-m", "tasks.stage", "--check")
    return repro(root, "split").seconds


class Added(NamedTuple):
    """What came of new files: shards that were not there before, and the run's seconds."""

    place: str
    num_new: int
    num_shards: int
    seconds: float


class Round(NamedTuple):
    """A first run from ingest to split, its disk use, and runs with new files after it."""

    first_seconds: float
    num_shards: int
    used_bytes: int
    source_bytes: int
    added: tuple[Added, ...]


def add_new_files(setting: Setting) -> Round:
    """The first run and those with new files in one class, then in every class."""
    with workspace.temporary_folder() as folder:
        source = taken(setting, folder / "images")
        cut = {"ingest.shard_bytes": setting.options.shard_bytes}
        root = clone_for(setting, source, CIFAR10_PARAMS | cut)
        say("ingest to split, the first time")
        first = repro(root, "split").seconds
        num_shards = len(shard_names(root))
        used = workspace.num_bytes(*(root / name for name in KEPT))
        size = workspace.num_bytes(source)
        classes = sorted((source / "train").iterdir())
        added = []
        for place, folders in (("one class", classes[:1]), ("every class", classes)):
            for one in folders:
                # Names that come after those of digits, as the names of later photographs do.
                add_images(one, NUM_NEW // len(folders), f"new-{len(folders)}-{one.name}-")
            added.append(take_in(root, place))
        return Round(first, num_shards, used, size, tuple(added))


def take_in(root: Path, place: str) -> Added:
    """Ingest to split under a new snapshot."""
    run(root, "python", "-m", "tasks.snapshot", f"new-files-in-{place.replace(' ', '-')}")
    say(f"ingest to split with {NUM_NEW} new files in {place}")
    before = shard_names(root)
    seconds = repro(root, "split").seconds
    after = shard_names(root)
    return Added(place, len(after - before), len(after), seconds)


def shard_names(root: Path) -> set[str]:
    return {path.name for path in (root / "data/raw/shards").glob("*.parquet")}


def measure_large(setting: Setting) -> Iterator[Row]:
    with workspace.temporary_folder() as folder:
        number = setting.options.num_large
        say(f"{number:,} images of 12 megapixels are generated")
        source = make_large(folder / "images", range(number), os.cpu_count() or 1)
        size = workspace.num_bytes(source)
        what = f"{number:,} images of {size / number / MB:.1f} MB"
        root = clone_for(setting, source, LARGE_PARAMS)
        baseline("read", source)
        loops = {
            "read": ("os.walk, open, read, sha256", baseline("read", source)),
            "decode": (
                f"Pillow, one process, {min(number, setting.options.num_decoded)} of them",
                baseline("decode", source, setting.options.num_decoded),
            ),
        }
        for stage in STAGES:
            say(f"{stage} on {what}")
            done = run_stage(root, stage)
            name, speed = loops[BASELINES[stage][0]]
            measured = number / done.main_seconds
            yield make_row(f"large: {stage}, {what}, against {name}", measured, "images/s", speed)
            yield make_row(f"large: {stage}, whole process", done.process_seconds, "s")
            yield make_row(f"large: {stage}, memory", done.peak_bytes / GB, "GB")
        say("the outputs go into DVC's cache")
        run(root, "python", "-m", "dvc", "commit", "--force", *STAGES)
        used = workspace.num_bytes(*(root / name for name in KEPT))
        name = "large: data, .dvc/cache and .cache on disk, against the source"
        yield make_row(name, used / GB, "GB", size / GB)


def measure_large_new(setting: Setting) -> Iterator[Row]:
    with workspace.temporary_folder() as folder:
        number, workers = setting.options.num_large, os.cpu_count() or 1
        say(f"{number:,} images of 12 megapixels are generated")
        source = make_large(folder / "images", range(number), workers)
        root = clone_for(setting, source, LARGE_PARAMS)
        first = repro(root, "split").seconds
        make_large(source, range(number, number + NUM_NEW), workers)
        added = take_in(root, "every class")
        of = f"{added.num_new} of {added.num_shards} shards new, against all {number:,} of them"
        yield make_row(f"large-new: {NUM_NEW} new files, {of}", added.seconds, "s", first)


CELLS = (
    Cell("speed", measure_speed, needs_cifar10=True),
    Cell("memory", measure_memory, needs_cifar10=True),
    Cell("new-files", measure_new_files, needs_cifar10=True),
    Cell("large", measure_large),
    Cell("large-new", measure_large_new),
)


def main(argv: list[str]) -> None:
    parser = topic_parser("data_path", __doc__, CELLS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--num-images", type=int, help="of CIFAR-10; all if left out")
    parser.add_argument("--shard-bytes", type=int, default=SMALL_SHARDS, help="for new-files")
    parser.add_argument("--num-large", type=int, default=2000, help="12-megapixel images")
    parser.add_argument("--num-decoded", type=int, default=200, help="of those, by the plain loop")
    run_cells("data_path", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
