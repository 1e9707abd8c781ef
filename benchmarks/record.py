"""Results: rows, and the file that keeps them.

A row's name begins with its cell, the part of a topic that is measured at one go: `cell: what`.
"""

import os
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tasks.artifacts.documents import load_json, save_json
from tasks.machine import load_processor

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
WALL_TIME = "wall time"
# What a result may change without being a result of another state of the code.
_RECORDS = (":(exclude)benchmarks/results", ":(exclude)README.md")
_PROCESSOR_FLAGS = ("avx512_bf16", "amx_bf16")


class Row(NamedTuple):
    """One measured thing.

    `reference` is in the same unit and was measured in the same run; `ratio` is value / reference.
    `seeds` counts the repeats (or seeds) whose median `value` is, `sd` is their deviation.
    """

    name: str
    value: float
    unit: str
    reference: float | None
    ratio: float | None
    seeds: int
    sd: float | None
    hardware: str
    commit: str

    @property
    def cell(self) -> str:
        return self.name.partition(": ")[0]

    @property
    def what(self) -> str:
        """What was measured of the cell, without what it is compared with."""
        return self.name.partition(": ")[2].partition(", against ")[0]


def make_row(
    name: str,
    values: Sequence[float] | float,
    unit: str,
    reference: Sequence[float] | float | None = None,
) -> Row:
    """The median of `values`, beside the median of what they are compared with."""
    several = _several(values)
    value = statistics.median(several)
    beside = None if reference is None else statistics.median(_several(reference))
    return Row(
        name=name,
        value=value,
        unit=unit,
        reference=beside,
        ratio=value / beside if beside else None,
        seeds=len(several),
        sd=statistics.stdev(several) if len(several) > 1 else None,
        hardware=hardware(),
        commit=commit(),
    )


def _several(values: Sequence[float] | float) -> list[float]:
    return [float(values)] if isinstance(values, int | float) else [float(x) for x in values]


@cache
def hardware() -> str:
    """The processor's model, the cores this process may use, and the fast path for bf16."""
    processor = load_processor()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    fast = [flag for flag in _PROCESSOR_FLAGS if flag in processor.flags]
    return ", ".join([processor.model, f"{cores} cores", *fast])


def fast_precision() -> str:
    """Of a training that is not itself what is measured: what this processor is fast in."""
    return "bf16" if "bf16" in hardware() else "float32"


@cache
def commit() -> str:
    """The commit that was measured; `-dirty` if the code differed from it."""
    short = _git("rev-parse", "--short", "HEAD") or "none"
    changed = _git("status", "--porcelain", "--", ".", *_RECORDS)
    return f"{short}-dirty" if changed else short


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def load_rows(path: Path) -> list[Row]:
    """The rows of a result file; none where there is no file yet."""
    if not path.is_file():
        return []
    return [parse_row(entry) for entry in load_json(path)]


def parse_row(entry: dict[str, Any]) -> Row:
    """Raises ValueError for an entry that is no row."""
    if set(entry) != set(Row._fields):
        raise ValueError(f"{entry}: expected the keys {list(Row._fields)}")
    return Row(**entry)


def save_rows(rows: Iterable[Row], path: Path) -> None:
    save_json([row._asdict() for row in rows], path)


def merge_rows(old: Iterable[Row], new: Iterable[Row], cells: Sequence[str]) -> list[Row]:
    """Cells of `new` take the place of the same cells of `old`, all in the order of `cells`.

    Rows of a cell that no longer exists are dropped.
    """
    added = list(new)
    replaced = {row.cell for row in added}
    kept = [row for row in old if row.cell not in replaced and row.cell in cells]
    return sorted([*kept, *added], key=lambda row: cells.index(row.cell))
