"""Name the snapshot that ingest takes in: `python -m tasks.snapshot [NAME]`.

Ingest runs again when the name in snapshot.yaml changes. Without a name it becomes today's date, in
UTC as the schedules have it; where that is the name already, a number is added (`2026-01-31.2`),
since a name that stays the same would take in nothing.

What was measured of the snapshot until now is kept in metrics/previous/quality.json, for the page
on the quality of the data to compare with.
"""

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from tasks.artifacts.documents import load_json, save_json
from tasks.artifacts.snapshots import SNAPSHOT, Snapshot, load_snapshot, save_snapshot
from tasks.core.errors import ParamsError, TilthError

_MEASURED = Path("metrics/quality.json")
_PREVIOUS = Path("metrics/previous/quality.json")


def next_name(today: str, current: str) -> str:
    """Today's date, numbered where the current snapshot is today's too."""
    numbered = re.fullmatch(re.escape(today) + r"(?:\.([1-9][0-9]*))?", current)
    return f"{today}.{int(numbered[1] or 1) + 1}" if numbered else today


def set_snapshot(root: Path, name: str | None, now: datetime) -> str:
    """Writes the name (`next_name` where it is None) into snapshot.yaml, and returns it.

    What was measured of the data until now, if anything was, is kept as that of the one before.

    Raises ParamsError if the name has other characters than ASCII letters, digits, `.`, `_` and
    `-`, or if the file holds something else; ArtifactError if it is missing, if what was measured
    is not JSON, or if something cannot be written.
    """
    path, measured = root / SNAPSHOT, root / _MEASURED
    current = load_snapshot(path)
    name = next_name(now.date().isoformat(), current.name) if name is None else name
    try:
        snapshot = Snapshot(name=name, taken_at=now.isoformat(timespec="seconds"))
    except ValidationError:
        raise ParamsError(
            f"snapshot {name!r}: expected letters, digits, '.', '_' and '-' only"
        ) from None
    # First: cut short between the two, it is done again as if it had not begun.
    if measured.exists():
        save_json({"quality": load_json(measured)}, root / _PREVIOUS)
    save_snapshot(snapshot, path)
    return name


def main() -> None:
    """Reads the arguments, sets the snapshot, prints its name."""
    parser = argparse.ArgumentParser(prog="python -m tasks.snapshot", description=__doc__)
    parser.add_argument("name", nargs="?", help="today's date if left out")
    name = parser.parse_args().name
    try:
        print(f"snapshot {set_snapshot(Path(), name, datetime.now(UTC))}")
    except TilthError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
