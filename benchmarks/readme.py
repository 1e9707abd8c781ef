"""Writes the tables of README from the result files: `python -m benchmarks.readme`.

A table stands between `<!-- results:<topic> -->` and `<!-- /results:<topic> -->`; what was not
measured yet has none. With `--check` nothing is written, and the exit status says whether README
and the files agree.
"""

import argparse
import re
import sys
from pathlib import Path

from benchmarks.record import RESULTS, ROOT, load_rows
from benchmarks.tables import markdown_table
from tasks.artifacts.documents import save_text

README = ROOT / "README.md"
_TABLE = re.compile(
    r"(?P<begin><!-- results:(?P<topic>[a-z0-9_]+) -->)"
    r"(?P<table>.*?)"
    r"(?P<end><!-- /results:(?P=topic) -->)",
    re.DOTALL,
)
_MARKER = re.compile(r"<!-- /?results:")


def fill_tables(text: str, results: Path) -> str:
    """README with every table as its result file has it.

    Raises:
        ValueError: a marker has no partner.
    """
    found = list(_TABLE.finditer(text))
    # A marker inside a table, as where one was forgotten, would be overwritten with it.
    if len(_MARKER.findall(text)) != 2 * len(found) or any(
        _MARKER.search(match["table"]) for match in found
    ):
        raise ValueError("README: a `<!-- results:… -->` marker has no partner")

    def filled(match: re.Match[str]) -> str:
        rows = load_rows(results / f"{match['topic']}.json")
        table = f"\n{markdown_table(rows)}\n\n" if rows else ""
        return f"{match['begin']}\n{table}{match['end']}"

    return _TABLE.sub(filled, text)


def main(argv: list[str]) -> int:
    """Exit status: 0, or 1 if `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args(argv)
    text = README.read_text(encoding="utf-8")
    filled = fill_tables(text, RESULTS)
    if text == filled:
        return 0
    if arguments.check:
        print("README differs from the results; `python -m benchmarks.readme`", file=sys.stderr)
        return 1
    save_text(filled, README)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
