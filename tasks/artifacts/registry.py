"""models/registry.json: every version that was published, and which of them is the champion."""

import hashlib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from tasks.artifacts.documents import load_json, save_json
from tasks.core.errors import ArtifactError
from tasks.core.params import Section

REGISTRY = Path("models/registry.json")
ONNX = "classifier.onnx"
# In the champion's folder: says that there is none yet.
NO_CHAMPION = "NONE"


class Version(Section):
    """`sha256` is of the weights, `md5` what DVC calls the champion's folder, `commit` the one that
    it was published from, `snapshot` the data that it was trained on, `taken_at` the moment until
    which labels of production are in it. They are None in what was published before they were kept.
    """

    version: int
    sha256: str
    onnx_sha256: str | None = None
    md5: str | None = None
    commit: str | None = None
    snapshot: str | None = None
    taken_at: str | None = None
    classes: list[str]
    metrics: dict[str, float]
    rolled_back: bool = False


class Aliases(Section):
    """Numbers of versions; None: there is none."""

    champion: int | None = None
    previous: int | None = None


class Registry(Section):
    aliases: Aliases = Aliases()
    versions: list[Version] = Field(default_factory=list)

    def find(self, number: int | None) -> Version | None:
        return next((one for one in self.versions if one.version == number), None)

    @property
    def champion(self) -> Version | None:
        return self.find(self.aliases.champion)

    def with_champion(self, version: Version) -> "Registry":
        """With the version as the champion, and the former champion as the previous one. A version
        that it has already takes the place of its former entry."""
        others = [one for one in self.versions if one.version != version.version]
        versions = sorted([*others, version], key=lambda one: one.version)
        former = self.aliases.champion
        previous = self.aliases.previous if former == version.version else former
        aliases = Aliases(champion=version.version, previous=previous)
        return Registry(aliases=aliases, versions=versions)

    def next_number(self) -> int:
        return 1 + max((one.version for one in self.versions), default=0)


def load_registry(path: Path) -> Registry:
    """An empty one where there is no file yet. Raises ArtifactError for a file that is none."""
    return parse_registry(load_json(path), path) if path.is_file() else Registry()


def parse_registry(document: Any, path: Path) -> Registry:
    """Raises ArtifactError for a document that is no registry, or whose champion it does not list.
    What was written before there were aliases is read as well."""
    if isinstance(document, dict) and isinstance(document.get("champion"), int):
        champion = document["champion"] or None
        rest = {key: value for key, value in document.items() if key != "champion"}
        document = {**rest, "aliases": {"champion": champion}}
    try:
        registry = Registry.model_validate(document)
    except ValidationError as error:
        raise ArtifactError(
            f"{path}: is no registry of models, restore it from git: {error}"
        ) from error
    for name, number in registry.aliases:
        if number is not None and registry.find(number) is None:
            raise ArtifactError(f"{path}: its {name}, version {number}, is not among its versions")
    return registry


def save_registry(registry: Registry, path: Path) -> None:
    save_json(registry.model_dump(), path)


def published_model(folder: Path) -> Path:
    """The exported model of the champion's folder, if it is the one that the registry beside the
    folder names.

    Raises ArtifactError if nothing is published, or the folder holds another model.
    """
    path, listed = folder / ONNX, folder.parent / REGISTRY.name
    if not path.is_file():
        raise ArtifactError(
            f"{path}: no published model; `dvc pull {folder}` fetches one, `python -m "
            "tasks.publish` publishes one"
        )
    champion = load_registry(listed).champion
    if champion is None:
        raise ArtifactError(f"{listed}: names no champion; `python -m tasks.publish`")
    if hashlib.sha256(path.read_bytes()).hexdigest() != champion.onnx_sha256:
        raise ArtifactError(
            f"{path}: is not version {champion.version}, which {listed} names as the champion; "
            f"`python -m tasks.publish` or `python -m tasks.rollback` completes what was cut short"
        )
    return path
