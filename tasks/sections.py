"""params.yaml as a whole: every section fits the `Params` of its stage."""

import hashlib
import importlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.artifacts.documents import load_yaml, save_json
from tasks.core.errors import ParamsError
from tasks.core.params import Run, Section, explain_validation, find_overlooked

PARAMS, GRAPH = Path("params.yaml"), Path("dvc.yaml")
_CHECKED = Path(".cache/params-checked")


def load_sections() -> dict[str, Any]:
    """All sections of params.yaml, by name, unchecked.

    Raises ArtifactError if it is no YAML, ParamsError if it is not here or has no sections.
    """
    for path in (PARAMS, GRAPH):
        if not path.is_file():
            raise ParamsError(f"{path}: not found in {Path.cwd()}; run from the project's root")
    sections = load_yaml(PARAMS)
    if not isinstance(sections, dict):
        raise ParamsError(f"{PARAMS}: expected the sections {['run', *_stages()]}")
    return sections


def check_sections(sections: dict[str, Any]) -> None:
    """Checks every section against the `Params` of its stage.

    One that fitted is remembered until it or the code changes: to check it takes the import of its
    stage, and all of them together take seconds.

    Raises:
        ParamsError: one line for each unknown, missing or wrong value.
    """
    code, stages = _hash_of_code(), _stages()
    mistakes = [
        f"{name}: unknown section; expected {['run', *stages]}"
        for name in sorted(set(sections) - {"run", *stages})
    ]
    state = {name: _state(code, sections.get(name)) for name in ("run", *stages)}
    remembered = _remembered()
    for name in state:
        if state[name] != remembered.get(name):
            mistakes += _mistakes(name, sections)
    if mistakes:
        raise ParamsError("\n  ".join([f"{PARAMS}:", *mistakes]))
    if state != remembered:
        save_json(state, _CHECKED)


def _stages() -> list[str]:
    return list(load_yaml(GRAPH)["stages"])


def _mistakes(name: str, sections: dict[str, Any]) -> list[str]:
    if name not in sections:
        return [f"{name}: section is missing"]
    model: type[Section] = Run if name == "run" else importlib.import_module(f"tasks.{name}").Params
    try:
        model.model_validate(sections[name])
    except ValidationError as error:
        return explain_validation(name, error, sections[name])
    return find_overlooked(sections[name], name)


def _remembered() -> dict[str, str]:
    with suppress(OSError, ValueError):
        return dict(json.loads(_CHECKED.read_text()))
    return {}


def _state(code: str, section: Any) -> str:
    return hashlib.sha256(f"{code}{section!r}".encode()).hexdigest()


def _hash_of_code() -> str:
    digest = hashlib.sha256()
    for path in [GRAPH, *sorted(Path("tasks").rglob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
