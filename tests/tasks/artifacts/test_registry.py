"""The registry knows which version is the champion, and what it was before."""

import hashlib
import json

import pytest

from tasks.artifacts.registry import (
    Registry,
    Version,
    load_registry,
    published_model,
    save_registry,
)
from tasks.core.errors import ArtifactError


def version(number: int, onnx: str = "x") -> Version:
    return Version(
        version=number, sha256=f"w{number}", onnx_sha256=onnx, classes=["a"], metrics={"f": 0.5}
    )


def test_the_former_champion_becomes_the_previous(tmp_path):
    registry = Registry()
    for number in (1, 2, 3):
        assert registry.next_number() == number
        registry = registry.with_champion(version(number))
    assert (registry.aliases.champion, registry.aliases.previous) == (3, 2)
    assert registry.with_champion(version(3)) == registry
    back = registry.with_champion(version(2))
    assert (back.aliases.champion, back.aliases.previous) == (2, 3)
    assert [one.version for one in back.versions] == [1, 2, 3] and back.next_number() == 4
    save_registry(back, tmp_path / "r.json")
    assert load_registry(tmp_path / "r.json") == back
    assert load_registry(tmp_path / "none.json") == Registry()


def test_what_was_written_before_there_were_aliases_is_read(tmp_path):
    old = {"version": 1, "sha256": "w", "classes": ["a"], "metrics": {"accuracy": 1.0}}
    (tmp_path / "r.json").write_text(json.dumps({"champion": 1, "versions": [old]}))
    registry = load_registry(tmp_path / "r.json")
    assert registry.champion is not None and registry.champion.onnx_sha256 is None
    assert registry.aliases.previous is None
    (tmp_path / "r.json").write_text(json.dumps({"champion": 0, "versions": []}))
    assert load_registry(tmp_path / "r.json") == Registry()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"aliases": {"champion": 2}, "versions": []}, "its champion, version 2, is not among"),
        ({"aliases": {}, "versions": [{}]}, "is no registry of models"),
        ([], "is no registry of models"),
    ],
)
def test_a_registry_that_contradicts_itself_is_refused(tmp_path, document, words):
    (tmp_path / "r.json").write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=words):
        load_registry(tmp_path / "r.json")


def test_only_the_registered_model_counts_as_published(tmp_path):
    folder, path = tmp_path / "champion", tmp_path / "champion/classifier.onnx"
    folder.mkdir()
    with pytest.raises(ArtifactError, match="no published model"):
        published_model(folder)
    path.write_bytes(b"model")
    with pytest.raises(ArtifactError, match="names no champion"):
        published_model(folder)
    digest = hashlib.sha256(b"model").hexdigest()
    save_registry(Registry().with_champion(version(1, digest)), tmp_path / "registry.json")
    assert published_model(folder) == path
    path.write_bytes(b"another")
    with pytest.raises(ArtifactError, match="is not version 1"):
        published_model(folder)
