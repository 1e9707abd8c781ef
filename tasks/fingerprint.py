"""What a model was made of: no clock, no commit, no host."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tasks.artifacts.documents import load_yaml
from tasks.core.params import Run, Section

MODEL_LIBRARIES = (
    "torch",
    "numpy",
    "albumentations",
    "scikit-learn",
    "imbalanced-learn",
    "cleanlab",
    "transformers",
    "timm",
)


def fingerprint(stage: str, params: Section, run: Run) -> dict[str, Any]:
    """Hashes of the stage's dependencies as dvc.yaml names them, its params and those that all
    stages share, and library versions."""
    return {
        "stage": stage,
        "dependencies": hash_dependencies(stage),
        "params": params.model_dump(),
        "versions": library_versions(MODEL_LIBRARIES),
        "run": run.model_dump(),
    }


def hash_dependencies(stage: str) -> dict[str, str]:
    """Of code and data, by path."""
    dependencies = load_yaml(Path("dvc.yaml"))["stages"][stage]["deps"]
    return {str(path): content_hash(Path(path)) for path in dependencies}


def library_versions(libraries: Iterable[str]) -> dict[str, str]:
    """Versions by name; a library that is not installed is left out."""
    versions = {}
    for library in libraries:
        with suppress(PackageNotFoundError):
            versions[library] = version(library)
    return versions


def content_hash(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files in a folder; of nothing where
    there is nothing."""
    if path.is_file():
        return _file_hash(path).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
            digest.update(_file_hash(file).digest())
    return digest.hexdigest()


def _file_hash(path: Path) -> "hashlib._Hash":
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256")
