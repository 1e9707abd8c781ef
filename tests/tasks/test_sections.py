"""What fitted is remembered; what may no longer fit is checked again. Imports tell which was."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = (
    "__init__.py",
    "sections.py",
    "fingerprint.py",
    "artifacts/__init__.py",
    "artifacts/atomic.py",
    "artifacts/documents.py",
    "artifacts/snapshots.py",
    "core/__init__.py",
    "core/errors.py",
    "core/params.py",
)
STAMP = ".cache/params-checked"
GRAPH = "stages: {sow: {cmd: x}, reap: {cmd: x}}\n"
RUN = "run: {seed: 0, num_threads: 2, precision: float32, device: cpu}\n"
STAGE = """
from tasks.core.params import Section
print("imported", __name__)
class Params(Section):
    rows: int
"""
CHECK = """
from tasks.core.errors import ParamsError
from tasks.sections import check_sections, load_sections
try:
    check_sections(load_sections())
except ParamsError as error:
    print(error)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two stages, sow and reap, whose sections were found to fit."""
    for name in CODE:
        (tmp_path / "tasks" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tasks" / name, tmp_path / "tasks" / name)
    for stage in ("sow", "reap"):
        (tmp_path / "tasks" / f"{stage}.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    write_params(tmp_path)
    assert check(tmp_path) == BOTH
    return tmp_path


BOTH = ["imported tasks.sow", "imported tasks.reap"]


def write_params(project: Path, sow: str = "rows: 1", reap: str = "rows: 1") -> None:
    text = f"{RUN}sow: {{{sow}}}\nreap: {{{reap}}}\n"
    (project / "params.yaml").write_text(text)


def check(project: Path) -> list[str]:
    """The stages that were imported to check their sections, and the mistakes that were found."""
    environment = {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        cwd=project,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()


def test_what_fitted_is_not_checked_again(project: Path) -> None:
    assert check(project) == []


def test_a_changed_section_alone_is_checked_again(project: Path) -> None:
    write_params(project, reap="rows: 2")
    assert check(project) == ["imported tasks.reap"]
    assert check(project) == []
    write_params(project)
    assert check(project) == ["imported tasks.reap"]


@pytest.mark.parametrize("value", ["1.0", "true", "'1'", "null"])
def test_the_same_value_of_another_type_is_another_value(project: Path, value: str) -> None:
    write_params(project, reap=f"rows: {value}")
    imported, heading, mistake = check(project)
    assert (imported, heading) == ("imported tasks.reap", "params.yaml:")
    assert mistake.startswith("  reap.rows: Input should be a valid integer")


def test_a_mistake_is_told_each_time_and_what_fits_beside_it_is_remembered(project: Path) -> None:
    write_params(project, sow="rows: 2", reap="rwos: 1")
    first, second = check(project), check(project)
    assert first[:2] == BOTH
    assert second[:1] == ["imported tasks.reap"]
    assert second[1:] == first[2:]
    assert [line.split(":")[0] for line in second[2:]] == ["  reap.rows", "  reap.rwos"]


def test_a_mistake_in_the_snapshot_beside_them_is_told(project: Path) -> None:
    path = project / "snapshot.yaml"
    path.write_text("name: first\ntaken_at: null\n")
    assert check(project) == []
    path.write_text("name: 1\ntaken_at: null\n")
    said = ["snapshot.yaml:", "  snapshot.name: Input should be a valid string (given: 1)"]
    assert check(project) == said


def test_a_section_without_a_stage_and_a_stage_without_a_section_are_told(project: Path) -> None:
    (project / "params.yaml").write_text(f"{RUN}sow: {{rows: 1}}\nplough: {{}}\n")
    said = [
        "params.yaml:",
        "  plough: unknown section; expected ['run', 'sow', 'reap']",
        "  reap: section is missing",
    ]
    assert check(project) == said
    assert check(project) == said


@pytest.mark.parametrize(
    "stamp",
    [
        *(b"", b"{", b'{"sow": "', b"\xff\xfe", b"\0" * 64),
        *(b"null", b"3", b"[1]", b'["sow"]', b'"sow"', b'{"sow": 3, "reap": null}'),
        b"0123456789abcdef" * 4,
    ],
)
def test_a_torn_or_foreign_stamp_is_replaced(project: Path, stamp: bytes) -> None:
    sound = (project / STAMP).read_bytes()
    (project / STAMP).write_bytes(stamp)
    assert check(project) == BOTH
    assert (project / STAMP).read_bytes() == sound


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("tasks/sow.py", STAGE + "# Another comment.\n"),
        ("tasks/core/new.py", ""),
        ("expectations/check.py", "KNOWN = ()\n"),
        ("dvc.yaml", GRAPH + "# Another comment.\n"),
        ("albumentations-0.1.dist-info/METADATA", "Name: albumentations\nVersion: 0.1\n"),
    ],
)
def test_changed_code_graph_or_library_has_all_checked_again(
    project: Path, file: str, text: str
) -> None:
    (project / file).parent.mkdir(parents=True, exist_ok=True)
    (project / file).write_text(text)
    assert check(project) == BOTH
    assert check(project) == []


def test_a_module_that_is_renamed_has_all_checked_again(project: Path) -> None:
    (project / "tasks/core/errors2.py").write_text("")
    assert check(project) == BOTH
    (project / "tasks/core/errors2.py").rename(project / "tasks/core/errors3.py")
    assert check(project) == BOTH


@pytest.mark.parametrize("text", ["", "stages:\n", "stages: [sow]\n", "plots: {}\n"])
def test_a_graph_without_stages_is_told(project: Path, text: str) -> None:
    (project / "dvc.yaml").write_text(text)
    said = "dvc.yaml: expected a mapping with the key 'stages', one entry per stage"
    assert check(project) == [said]
