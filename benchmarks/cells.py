"""The command line of a topic: measures its cells, and records each as soon as it is done."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from benchmarks.record import (
    RESULTS,
    WALL_TIME,
    Row,
    load_rows,
    make_row,
    merge_rows,
    save_rows,
)
from benchmarks.tables import plain_table
from benchmarks.workspace import Clones
from tasks.machine import keep_freed_memory


class Setting(NamedTuple):
    """What a cell has to work with. `cifar10` holds train/<class>/… and test/<class>/…."""

    options: argparse.Namespace
    clones: Clones
    cifar10: Path | None


class Cell(NamedTuple):
    """A part of a topic that is measured at one go; its rows are named `name: …`."""

    name: str
    measure: Callable[[Setting], Iterable[Row]]
    needs_cifar10: bool = False


def say(text: str) -> None:
    """A line of progress."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def topic_parser(topic: str, text: str | None, cells: Sequence[Cell]) -> argparse.ArgumentParser:
    """The flags that every topic has."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{topic}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [cell.name for cell in cells]
    parser.add_argument("--only", nargs="+", choices=names, metavar="CELL", help=", ".join(names))
    parser.add_argument(
        "--missing", action="store_true", help="leave out cells that the result file has already"
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="folder of the result file (%(default)s)"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        type=parse_setting,
        metavar="SECTION.KEY=VALUE",
        help="other params in every clone, to try a cell quickly; needs --out",
    )
    return parser


def parse_setting(text: str) -> tuple[str, Any]:
    """`pretrain.epochs=1` as a name and a value of YAML."""
    name, _, value = text.partition("=")
    return name, YAML(typ="safe", pure=True).load(value)


def run_cells(topic: str, cells: Sequence[Cell], options: argparse.Namespace) -> None:
    """Measures what was asked for; prints the table of what was measured now or before."""
    if options.set and options.out == RESULTS:
        raise SystemExit("--set: results of other params are not the project's; give --out too")
    keep_freed_memory()  # as stages do; some cells call their mathematics in this process
    path = options.out / f"{topic}.json"
    known = {row.cell for row in load_rows(path)} if options.missing else set()
    with _ending_when_asked(), Clones(dict(options.set)) as clones:
        setting = Setting(options, clones, find_cifar10())
        for cell in cells:
            if (options.only and cell.name not in options.only) or cell.name in known:
                continue
            if cell.needs_cifar10 and setting.cifar10 is None:
                say(f"{topic}, {cell.name}: left out, as TILTH_CIFAR10 names no folder")
                continue
            say(f"{topic}, {cell.name}: begins")
            rows = measure_cell(cell, setting)
            # Each cell is kept at once, so that an interrupted table can be gone on with.
            save_rows(merge_rows(load_rows(path), rows, [cell.name for cell in cells]), path)
            say(f"{topic}, {cell.name}: took {rows[-1].value:.0f} s")
    print(plain_table(load_rows(path)))


@contextmanager
def _ending_when_asked() -> Iterator[None]:
    # A process that is terminated would otherwise leave its clones, of gigabytes, behind.
    former = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def measure_cell(cell: Cell, setting: Setting) -> list[Row]:
    """The rows of a cell, the last of them the time that all of it took."""
    started = time.monotonic()
    rows = list(cell.measure(setting))
    rows.append(make_row(f"{cell.name}: {WALL_TIME}", time.monotonic() - started, "s"))
    assert all(row.cell == cell.name for row in rows), [row.name for row in rows]
    assert len({row.name for row in rows}) == len(rows), [row.name for row in rows]
    return rows


def find_cifar10() -> Path | None:
    """The folder that TILTH_CIFAR10 names, if there is one."""
    name = os.environ.get("TILTH_CIFAR10")
    return Path(name).resolve() if name and Path(name).is_dir() else None
