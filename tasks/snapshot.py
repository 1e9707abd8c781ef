"""Name the snapshot that ingest takes in: `python -m tasks.snapshot [NAME]`.

Ingest runs again when its section of params.yaml changes, and `ingest.snapshot` is there to be
changed. Without a name it becomes today's date, in UTC as the schedules have it; where that is the
name already, a number is added (`2026-01-31.2`), since a name that stays the same would take in
nothing.

What was measured of the snapshot until now is kept in metrics/previous/quality.json, for the page
on the quality of the data to compare with.
"""

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from tasks.artifacts.atomic import replacing
from tasks.artifacts.documents import load_json, save_json
from tasks.core.errors import ParamsError, TilthError

_PARAMS = Path("params.yaml")
_MEASURED = Path("metrics/quality.json")
_PREVIOUS = Path("metrics/previous/quality.json")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def next_name(today: str, current: str) -> str:
    """Today's date, numbered where the current snapshot is today's too."""
    numbered = re.fullmatch(re.escape(today) + r"(?:\.([1-9][0-9]*))?", current)
    return f"{today}.{int(numbered[1] or 1) + 1}" if numbered else today


def set_snapshot(root: Path, name: str | None, today: str) -> str:
    """Writes the name (`next_name` where it is None) as `ingest.snapshot`, and returns it.

    Every other byte of params.yaml stays as it was. What was measured of the data until now, if
    anything was, is kept as that of the snapshot before.

    Raises ParamsError if the name has other characters than ASCII letters, digits, `.`, `_` and
    `-`, or if the file has no `ingest.snapshot`; ArtifactError if what was measured is not JSON, or
    if something cannot be written.
    """
    params, measured = root / _PARAMS, root / _MEASURED
    try:
        text = params.read_bytes().decode("utf-8")
        value = _value_at(YAML().compose(text), "ingest", "snapshot")
    except (OSError, UnicodeDecodeError, YAMLError, LookupError) as error:
        raise ParamsError(f"{params}: expected a value at ingest.snapshot: {error}") from error
    name = next_name(today, value.value) if name is None else name
    if not _NAME.fullmatch(name):
        raise ParamsError(f"snapshot {name!r}: expected letters, digits, '.', '_' and '-' only")
    # First: cut short between the two, it is done again as if it had not begun.
    if measured.exists():
        save_json({"quality": load_json(measured)}, root / _PREVIOUS)
    # Quoted, because DVC stops at an unquoted date. Put in place of the old value alone, because
    # ruamel.yaml keeps comments when it writes a whole file, but not everybody's spacing.
    edited = f'{text[: value.start_mark.index]}"{name}"{text[value.end_mark.index :]}'
    # Renaming over a link would part it from what it links to.
    with replacing(params.resolve()) as temporary:
        temporary.write_bytes(edited.encode("utf-8"))
    return name


def _value_at(node: Node | None, *keys: str) -> ScalarNode:
    for key in keys:
        if not isinstance(node, MappingNode):
            raise LookupError(f"nothing can be found under {key!r}")
        node = next((value for name, value in node.value if name.value == key), None)
    if not isinstance(node, ScalarNode) or node.value == "":
        raise LookupError("it is missing, empty, a list or a mapping")
    return node


def main() -> None:
    """Reads the arguments, sets the snapshot, prints its name."""
    parser = argparse.ArgumentParser(prog="python -m tasks.snapshot", description=__doc__)
    parser.add_argument("name", nargs="?", help="today's date if left out")
    name = parser.parse_args().name
    try:
        print(f"snapshot {set_snapshot(Path(), name, datetime.now(UTC).date().isoformat())}")
    except TilthError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
