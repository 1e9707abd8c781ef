"""A suite on a large table: `python -m benchmarks.suites`.

ten-checks  ten rules of Great Expectations on a table of images, against the same ten checks in
            plain pandas: seconds, the memory that they take beyond the table and what was imported,
            and how far the two disagree in what they refuse (must be 0)

Each repeat of each side is a process of its own. The import of Great Expectations, with one small
suite, stands in a row of its own.
"""

import json
import sys
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks import workspace
from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.record import ROOT, Row, make_row

MB = 1e6


class Judged(NamedTuple):
    """`memory_bytes`: the most that the process held, beyond what it held before the checks."""

    seconds: float
    import_seconds: float
    memory_bytes: int
    refused: list[int]


def judge(side: str, num_rows: int) -> Judged:
    say(f"{side} on {num_rows:,} rows")
    ran = workspace.run(ROOT, "python", "-m", "benchmarks.ten_checks", side, str(num_rows))
    told = json.loads(ran.output.splitlines()[-1])
    memory = max(0, ran.peak_bytes - told["held_bytes"])
    return Judged(told["seconds"], told["import_seconds"], memory, told["refused"])


def measure_ten_checks(setting: Setting) -> Iterator[Row]:
    number, repeats = setting.options.num_rows, setting.options.repeats
    pairs = [(judge("suite", number), judge("pandas", number)) for _ in range(repeats)]
    suites, plain = zip(*pairs, strict=True)
    what = f"{number:,} rows, against pandas"
    seconds = ([one.seconds for one in side] for side in (suites, plain))
    yield make_row(f"ten-checks: {what}", next(seconds), "s", next(seconds))
    memory = ([one.memory_bytes / MB for one in side] for side in (suites, plain))
    yield make_row(f"ten-checks: memory, {what}", next(memory), "MB", next(memory))
    imports = [one.import_seconds for one in suites]
    yield make_row("ten-checks: import of Great Expectations", imports, "s")
    differing = sum(
        abs(one - other)
        for suite, reference in pairs
        for one, other in zip(suite.refused, reference.refused, strict=True)
    )
    total = sum(sum(reference.refused) for _, reference in pairs)
    yield make_row("ten-checks: refused values that differ, of all refused", differing, "", total)


CELLS = (Cell("ten-checks", measure_ten_checks),)


def main(argv: list[str]) -> None:
    parser = topic_parser("suites", __doc__, CELLS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--num-rows", type=int, default=1_000_000)
    run_cells("suites", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
