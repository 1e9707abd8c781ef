"""snapshot.yaml: the name under which ingest takes in the sources, and since when.

Apart from params.yaml, so that machines write the one and people the other.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints, ValidationError, field_validator

from tasks.artifacts.documents import load_yaml, save_text
from tasks.core.errors import ParamsError
from tasks.core.params import Section, explain_validation

SNAPSHOT = Path("snapshot.yaml")
_HEAD = """\
# Which snapshot of the sources is taken in: under another name ingest reads them again.
# `make ingest` and the data flow write this file; labels told until `taken_at` are in it.
"""


class Snapshot(Section):
    """`taken_at`: a moment in ISO 8601 with its time zone; None where nobody noted it."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$")]
    taken_at: str | None

    @field_validator("taken_at")
    @classmethod
    def _is_moment(cls, taken_at: str | None) -> str | None:
        if taken_at is not None and datetime.fromisoformat(taken_at).tzinfo is None:
            raise ValueError("names no time zone, so it is no moment")
        return taken_at


def load_snapshot(path: Path) -> Snapshot:
    """Raises ParamsError with a line per mistake, ArtifactError if there is no such YAML."""
    values = load_yaml(path)
    try:
        return Snapshot.model_validate(values)
    except ValidationError as error:
        lines = explain_validation(path.stem, error, values)
        raise ParamsError("\n  ".join([f"{path}:", *lines])) from None


def save_snapshot(snapshot: Snapshot, path: Path) -> None:
    """Texts are quoted, because DVC stops at an unquoted date."""
    name, taken_at = json.dumps(snapshot.name), json.dumps(snapshot.taken_at)
    save_text(f"{_HEAD}name: {name}\ntaken_at: {taken_at}\n", path)
