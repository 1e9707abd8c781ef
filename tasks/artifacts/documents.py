"""JSON and YAML documents and plain text."""

import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.artifacts.atomic import replacing
from tasks.core.errors import ArtifactError


def save_json(document: Any, path: Path) -> None:
    """Sorted keys, no clock, no NaN: the same content gives the same bytes."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    save_text(text + "\n", path)


def load_json(path: Path) -> Any:
    """Raises ArtifactError if the file is missing or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: does not exist") from None
    except ValueError as error:
        raise ArtifactError(f"{path}: is not valid JSON: {error}") from error


def save_text(text: str, path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_bytes(data: bytes, path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load_yaml(path: Path) -> Any:
    """YAML 1.2, as DVC reads it (`1e-3` is a number).

    Raises ArtifactError if the file is missing or is not YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: does not exist") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: is not valid YAML: {error}") from error
