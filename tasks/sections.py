"""params.yaml as a whole: every section fits the `Params` of its stage, and what no stage reads
that of the room that does."""

import hashlib
import importlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.artifacts.documents import load_yaml, save_json
from tasks.artifacts.snapshots import SNAPSHOT, load_snapshot
from tasks.core.errors import ParamsError
from tasks.core.params import Run, Section, explain_validation, find_overlooked
from tasks.fingerprint import MODEL_LIBRARIES, library_versions

PARAMS, GRAPH = Path("params.yaml"), Path("dvc.yaml")
_CHECKED = Path(".cache/params-checked")
_ROOMS = ("tasks", "expectations", "pages", "monitoring")
# Sections that no stage reads, and their models in monitoring/params.py: a project of stages alone
# may do without.
_BESIDES = {"monitoring": "Params", "retrain": "Retrain", "rollback": "Rollback"}


def load_sections() -> dict[str, Any]:
    """All sections of params.yaml, by name, unchecked.

    Raises ArtifactError if it or dvc.yaml is no YAML, ParamsError if one is not here or holds
    something else.
    """
    for path in (PARAMS, GRAPH):
        if not path.is_file():
            raise ParamsError(f"{path}: not found in {Path.cwd()}; run from the project's root")
    sections = load_yaml(PARAMS)
    if not isinstance(sections, dict):
        raise ParamsError(f"{PARAMS}: expected the sections {['run', *_stages()]}")
    return sections


def check_sections(sections: dict[str, Any]) -> None:
    """Checks every section against the `Params` of its stage, and snapshot.yaml beside them.

    One that fitted is remembered until it, the code or a library changes: to check it takes the
    import of its stage, and all of them together take seconds.

    Raises:
        ParamsError: one line for each unknown, missing or wrong value.
    """
    basis, stages, remembered = _basis(), _stages(), _remembered()
    besides = [name for name in _BESIDES if name in sections]
    mistakes = [
        f"{name}: unknown section; expected {['run', *stages]}"
        for name in sorted(set(sections) - {"run", *stages, *besides})
    ]
    fitted = {}
    for name in ("run", *stages, *besides):
        state = hashlib.sha256(f"{basis}{sections.get(name)!r}".encode()).hexdigest()
        found = [] if remembered.get(name) == state else _mistakes(name, sections)
        mistakes += found
        if not found:
            fitted[name] = state
    if fitted != remembered:
        save_json(fitted, _CHECKED)
    if mistakes:
        raise ParamsError("\n  ".join([f"{PARAMS}:", *mistakes]))
    if SNAPSHOT.is_file():
        load_snapshot(SNAPSHOT)


def _stages() -> list[str]:
    graph = load_yaml(GRAPH)
    stages = graph.get("stages") if isinstance(graph, dict) else None
    if not isinstance(stages, dict):
        raise ParamsError(f"{GRAPH}: expected a mapping with the key 'stages', one entry per stage")
    return list(stages)


def _mistakes(name: str, sections: dict[str, Any]) -> list[str]:
    if name not in sections:
        return [f"{name}: section is missing"]
    try:
        _model(name).model_validate(sections[name])
    except ValidationError as error:
        return explain_validation(name, error, sections[name])
    return find_overlooked(sections[name], name)


def _model(name: str) -> type[Section]:
    if name == "run":
        return Run
    module = "monitoring.params" if name in _BESIDES else f"tasks.{name}"
    return getattr(importlib.import_module(module), _BESIDES.get(name, "Params"))


def _remembered() -> dict[str, str]:
    """The state in which each section fitted; nothing if that is torn or of another form."""
    with suppress(OSError, ValueError):
        states = json.loads(_CHECKED.read_text(encoding="utf-8"))
        return states if isinstance(states, dict) else {}
    return {}


def _basis() -> str:
    """Changes with whatever says what a section may hold."""
    digest = hashlib.sha256(repr(library_versions(MODEL_LIBRARIES)).encode())
    for path in [GRAPH, *sorted(file for room in _ROOMS for file in Path(room).rglob("*.py"))]:
        digest.update(f"{path}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
