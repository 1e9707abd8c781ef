"""Recorded results, made again by the real stages in a checkout of their own.

Long because it holds the ways to spoil a checkout.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from benchmarks.workspace import copy_project, repro, run, set_params
from tasks.artifacts.dvc_cache import Cache, Recorded, hash_as_dvc, load_lock
from tasks.artifacts.scratch import Checkout, known_to_git, scratch_workspace
from tasks.core.errors import ArtifactError
from tasks.verify import changed_fingerprint, main

FEW = {
    **{f"{kind}_fraction": 0.03 for kind in ("truncated", "duplicate", "wrong_label")},
    "thinned": {str(digit): 0.2 for digit in range(10)},
    "seed": 0,
}
FAULTS = "data/raw/faults.parquet"


@pytest.fixture(scope="module")
def recorded_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the stages up to split have run."""
    root = tmp_path_factory.mktemp("recorded") / "checkout"
    copy_project(root)
    set_params(root, {"ingest.sources": {"digits": {"type": "digits", "faults": FEW}}})
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    repro(root, "split")
    return root


@pytest.fixture
def checkout(
    recorded_checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A copy to spoil, as the current directory."""
    root = tmp_path / "checkout"
    shutil.copytree(recorded_checkout, root)
    monkeypatch.chdir(root)
    yield root
    assert not list(root.glob(".cache/verify-*"))


def edit_lock(root: Path, stage: str) -> tuple[dict[str, Any], Any]:
    """The entry of a stage, and what writes it back."""
    yaml = YAML()
    lock = yaml.load(root / "dvc.lock")
    return lock["stages"][stage], lambda: yaml.dump(lock, root / "dvc.lock")


def record(root: Path, stage: str, path: str, md5: str) -> str:
    """Has dvc.lock say that a dependency or output had another hash; returns the former."""
    entry, write = edit_lock(root, stage)
    place = next(one for one in [*entry["deps"], *entry["outs"]] if one["path"] == path)
    former, place["md5"] = place["md5"], md5
    write()
    return former


def spoil_output(root: Path, stage: str, path: str) -> str:
    """Flips a byte of an output in the cache and records it so; returns the hash it now has."""
    data = bytearray((root / path).read_bytes())
    data[len(data) // 2] ^= 1
    (root / path).unlink()
    (root / path).write_bytes(data)
    md5 = hash_as_dvc(root / path)
    target = Cache(root / ".dvc" / "cache").object_path(md5)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    record(root, stage, path, md5)
    return md5


def state_of(root: Path) -> dict[str, str]:
    outside = [path for path in root.iterdir() if path.name not in {".cache", ".git"}]
    return {path.name: hash_as_dvc(path) for path in outside}


def test_what_was_recorded_is_made_again_and_nothing_is_touched(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state_of(checkout)
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    stages = ["ingest", "validate", "clean", "split"]
    assert [line.split(" (")[0] for line in lines[:-1]] == [f"{stage}: same" for stage in stages]
    assert lines[-1] == "4 of 4 stages gave the same bytes again"
    after = state_of(checkout)
    # DVC keeps temporary files of its own beside the cache.
    assert {name for name in before if before[name] != after[name]} <= {".dvc"}


def test_a_workspace_left_by_a_killed_run_is_deleted_by_the_next(checkout: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-m", "tasks.verify", "ingest"])
    deadline = time.monotonic() + 60
    while not (left := list(checkout.glob(".cache/verify-*/params.yaml"))):
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert left[0].is_file()
    in_use = checkout / f".cache/verify-{os.getppid()}-in-use"
    in_use.mkdir()
    assert main(["ingest"]) == 0
    assert list(checkout.glob(".cache/verify-*")) == [in_use]
    in_use.rmdir()


def test_a_record_that_nothing_explains_differs(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    md5 = spoil_output(checkout, "ingest", FAULTS)
    assert main(["ingest"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("ingest: differs")
    assert f"\n    {FAULTS}: " in said and f", recorded {md5}\n" in said
    assert "index.parquet" not in said
    assert "two runs here agree" in said


def test_libraries_threads_and_processor_are_compared(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil_output(checkout, "ingest", FAULTS)
    path = checkout / "runs" / "ingest.json"
    observed = json.loads(path.read_text())
    assert observed["processor"] and observed["device"] == "cpu"
    observed["versions"]["pyarrow"] = "1.0"
    observed |= {"num_threads": 64, "processor": "abacus"}
    path.write_text(json.dumps(observed))
    assert main(["ingest"]) == 1
    said = capsys.readouterr().out
    assert "\n    library pyarrow: 1.0 when recorded, " in said
    assert "\n    num_threads: 64 when recorded, 1 now" in said
    assert "\n    processor: abacus when recorded, " in said
    assert "two runs" not in said


def test_code_that_changed_and_code_that_does_not_repeat_itself_are_told_apart(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "tasks/core/hashing.py"
    text = (checkout / name).read_text()
    drawn = "__import__('os').urandom(16).hex()"
    (checkout / name).write_text(text.replace("sha256(data).hexdigest()[:32]", drawn))
    assert main(["ingest"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("ingest: differs")
    assert "\n    data/raw/shards: " in said
    assert f"\n    code changed since: {name}\n" in said
    record(checkout, "ingest", name, hash_as_dvc(checkout / name))
    assert main(["ingest"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("ingest: differs")
    assert "\n    data/raw/shards: " in said
    assert "two runs here differ from each other: the stage does not repeat itself" in said


@pytest.mark.slow
def test_code_that_changed_is_named_where_the_bytes_are_the_same(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkout / "expectations" / "suites.py"
    path.write_text(path.read_text() + "# Another comment.\n")
    assert main(["split"]) == 0
    first, second, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("split: same")
    assert second == "    code changed since: expectations/suites.py"


def test_inputs_that_are_missing_or_damaged_in_the_cache_are_named(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = Cache(checkout / ".dvc" / "cache")
    deps = load_lock(checkout / "dvc.lock")["split"].deps
    manifest = cache.object_path(deps["data/clean/manifest.parquet"])
    images = cache.object_path(deps["data/clean/images"])
    image = cache.object_path(json.loads(images.read_text())[0]["md5"])
    for path, spoilt, how in (
        ("data/clean/manifest.parquet", manifest, "are not in DVC's cache"),
        ("data/clean/images", image, "are not in DVC's cache"),
        ("data/clean/images", image, "is damaged"),
        ("data/clean/images", images, "is damaged"),
    ):
        data = spoilt.read_bytes()
        spoilt.unlink()
        if how == "is damaged":
            spoilt.write_bytes(data + b" ")
        assert main(["split"]) == 1
        said = capsys.readouterr().out
        assert said.startswith("split: cannot be checked")
        assert f"\n    {path}: " in said and how in said
        spoilt.unlink(missing_ok=True)
        spoilt.write_bytes(data)


def test_a_source_that_is_gone_is_told_in_the_words_of_the_stage(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry, write = edit_lock(checkout, "ingest")
    sources = entry["params"]["params.yaml"]["ingest"]["sources"]
    sources.clear()
    sources["photos"] = {"type": "folder", "root": "photos"}
    write()
    assert main(["ingest"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("ingest: cannot be checked")
    assert f"SourceError: {checkout / 'photos'}: no such folder" in said


def test_what_git_keeps_is_taken_from_the_workspace_if_it_is_the_same(checkout: Path) -> None:
    champion = checkout / "models" / "champion"
    champion.mkdir(parents=True, exist_ok=True)
    (champion / "NONE").write_text("none yet")
    subprocess.run(["git", "add", "-f", "models/champion/NONE"], check=True)
    names = ("decisions/labels.csv", "models/champion")
    deps = {name: hash_as_dvc(checkout / name) for name in names}
    recorded = Recorded("audit", "", deps, {}, {})
    opened = Checkout(checkout, known_to_git(checkout), Cache(checkout / ".dvc" / "cache"))
    with scratch_workspace(recorded, opened) as scratch:
        assert {name: hash_as_dvc(scratch / name) for name in names} == deps
        assert not (scratch / "data").exists()
    (checkout / "decisions" / "labels.csv").write_text("another\n")
    with (
        pytest.raises(ArtifactError, match=r"decisions/labels\.csv: changed since"),
        scratch_workspace(recorded, opened),
    ):
        pass


def test_a_folder_hashes_as_dvc_has_it_and_comes_back_whole(checkout: Path) -> None:
    folder = checkout / "models" / "champion"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("b", "a/ü", "a.b", "a/c/d", "A"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    run(checkout, "python", "-m", "dvc", "add", "-q", "models/champion")
    md5 = YAML().load(checkout / "models" / "champion.dvc")["outs"][0]["md5"]
    assert hash_as_dvc(folder) == md5
    opened = Checkout(checkout, known_to_git(checkout), Cache(checkout / ".dvc" / "cache"))
    recorded = Recorded("promote", "", {"models/champion": md5}, {}, {})
    shutil.rmtree(folder)
    with scratch_workspace(recorded, opened) as scratch:
        assert (scratch / "models" / "champion" / "a" / "ü").read_text() == "a/ü"


def test_models_tell_what_they_were_made_of(tmp_path: Path) -> None:
    import torch

    from tasks.artifacts.weights import save_weights

    for name, numpy, threads in (("then", "1.0", 2), ("now", "2.0", 4)):
        made = {"versions": {"numpy": numpy}, "run": {"num_threads": threads, "seed": 0}}
        save_weights({"w": torch.zeros(1)}, {"fingerprint": made}, tmp_path / name)
    assert changed_fingerprint(tmp_path / "then", tmp_path / "now") == {
        "library numpy: 1.0 when recorded, 2.0 now",
        "num_threads: 2 when recorded, 4 now",
    }
    assert changed_fingerprint(tmp_path / "missing", tmp_path / "now") == set()


def test_stages_come_after_those_they_read(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    path.write_text(
        "stages:\n"
        "  last: {cmd: x, deps: [{path: folder/part, md5: a}]}\n"
        "  first: {cmd: [x, y], outs: [{path: folder, md5: b.dir}]}\n"
    )
    assert list(load_lock(path)) == ["first", "last"]
    assert load_lock(path)["first"].cmd == "x && y"
    path.write_text("stages:\n  old: {cmd: x, deps: [{path: s3://far, etag: a}]}\n")
    with pytest.raises(ArtifactError, match="is not as DVC 3 writes it: KeyError"):
        load_lock(path)


def test_what_cannot_be_asked_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert "ArtifactError: dvc.lock: not found in" in capsys.readouterr().err
    (tmp_path / "dvc.lock").write_text("stages:\n  weigh: {cmd: x}\n")
    assert main(["wiegh"]) == 2
    assert "has no stage 'wiegh'; expected one of ['weigh']" in capsys.readouterr().err
    (tmp_path / "dvc.lock").write_text("[]")
    assert main([]) == 2
    assert "expected a mapping with the key 'stages'" in capsys.readouterr().err
