"""One Prefect server for all tests of the flows, and checkouts small enough to run in seconds."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("flows", "monitoring", "tasks", "prefect.yaml")
CHECK = """
import pathlib, sys
text = pathlib.Path("params.yaml").read_text()
if "wrong" in text:
    print("ParamsError: finetune.epochs: wrong", file=sys.stderr)
    sys.exit(1)
"""
PUBLISH = """
import pathlib
pathlib.Path("published").write_text("yes")
"""
SNAPSHOT = """
import pathlib
assert not pathlib.Path("raw").exists(), "ingest has run already"
pathlib.Path("taken_in").write_text("yes")
"""

MakeCheckout = Callable[[str], Path]


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[str]:
    """The URL of a server that lives as long as the tests."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def empty_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the code, with a check of params, a publishing and snapshots of its
    own."""
    root = tmp_path_factory.mktemp("empty")
    for name in CODE:
        source, target = ROOT / name, root / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (root / "tasks" / "stage.py").write_text(CHECK)
    (root / "tasks" / "publish.py").write_text(PUBLISH)
    (root / "tasks" / "snapshot.py").write_text(SNAPSHOT)
    (root / "params.yaml").write_text("{}\n")
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    dvc(root, "init", "-q")
    return root


@pytest.fixture
def make_checkout(
    empty_checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MakeCheckout:
    """Makes a checkout with the given dvc.yaml the current directory."""

    def make(graph: str) -> Path:
        root = tmp_path / "checkout"
        shutil.copytree(empty_checkout, root)
        (root / "dvc.yaml").write_text(graph)
        monkeypatch.chdir(root)
        return root

    return make


def dvc(root: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, check=True)


def start_flow(
    root: Path, api: str, module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Starts `python -m <module>` in a checkout, against the tests' server."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=root,
        env={**os.environ, "PREFECT_API_URL": api, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def run_module(prefect_api: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts modules in a checkout, and sees to it that none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def run(root: Path, module: str, *arguments: str) -> subprocess.Popen[str]:
        started.append(start_flow(root, prefect_api, module, *arguments))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()
