"""Benchmarks run in copies of the project and on folders of images, and touch nothing else."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import workspace
from benchmarks.sources import SHAPES, add_images, make_odd
from tasks.quality import load_previous


def test_a_command_is_timed_and_its_children_are_weighed(tmp_path: Path) -> None:
    child = "import time; held = bytearray(80_000_000); time.sleep(0.4)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    ran = workspace.run(tmp_path, "python", "-c", parent)
    assert 0.4 < ran.seconds < 30
    assert 80_000_000 < ran.peak_bytes < 400_000_000


def test_a_command_that_fails_says_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"exit status 3\nsorry"):
        workspace.run(tmp_path, "python", "-c", "import sys; print('sorry'); sys.exit(3)")


def test_a_copy_of_the_project_has_nothing_that_ran_and_what_stages_read(
    tmp_path: Path,
) -> None:
    workspace.copy_project(tmp_path)
    kept = [path.name for path in (tmp_path / "metrics").rglob("*") if path.is_file()]
    assert kept == ["quality.json"]
    assert load_previous(tmp_path / "metrics/previous/quality.json") is None


def test_params_are_set_and_comments_stay(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("run:\n  seed: 0 # any\npretrain:\n  rate: 1e-3\n")
    workspace.set_params(tmp_path, {"run.seed": 3, "pretrain.sources": {"a": 1}})
    assert workspace.load_params(tmp_path) == {
        "run": {"seed": 3},
        "pretrain": {"rate": 0.001, "sources": {"a": 1}},
    }
    assert "# any" in (tmp_path / "params.yaml").read_text()


def test_nobodys_settings_reach_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    environment = workspace.environment()
    assert "PREFECT_API_URL" not in environment and "OMP_NUM_THREADS" not in environment
    assert environment["PATH"].startswith(str(Path(sys.executable).parent))
    assert environment["DO_NOT_TRACK"] == "1"


def test_stages_that_ran_are_read_from_what_dvc_says() -> None:
    said = "'x.dvc' didn't change\nStage 'a' didn't change, skipping\nRunning stage 'b':\n> echo\n"
    assert workspace.stages_run(said) == ["b"]


def test_a_file_with_two_names_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"12345")
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    assert workspace.num_bytes(tmp_path) == 5


def test_the_odd_folder_is_odd_and_has_one_broken_file(tmp_path: Path) -> None:
    folder = make_odd(tmp_path / "odd", 8)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert len(paths) == 8 * len(SHAPES)
    assert len({path.parent.name for path in paths}) == len(SHAPES) + 2
    broken = []
    for path in paths:
        try:
            Image.open(path).load()
        except OSError:
            broken.append(path)
    assert len(broken) == 1


def test_added_images_are_all_different(tmp_path: Path) -> None:
    add_images(tmp_path, 5, "new-a-")
    add_images(tmp_path, 5, "new-b-")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 10
