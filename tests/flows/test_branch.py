"""Two clones, a bare remote of git and a folder as remote of DVC: what one leaves, the other goes
on with, and nothing is forced."""

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from flows.branch import BranchError, find_remote
from tests.flows.conftest import MakeCheckout, dvc

# Its source lies beside one clone alone.
GRAPH = """
stages:
  ingest:
    cmd: cat ../source > raw && echo ingest >> ../ran
    params: [{snapshot.yaml: [name]}]
    outs: [raw]
  quality: {cmd: "echo quality >> ../ran; cat raw > page", deps: [raw], outs: [page]}
  card: {cmd: "echo card >> ../ran; cat raw > card", deps: [raw], outs: [card]}
  report: {cmd: "echo report >> ../ran; cat raw > report", deps: [raw], outs: [report]}
"""
NEXT_SNAPSHOT = """
import pathlib
path = pathlib.Path("snapshot.yaml")
path.write_text(path.read_text().replace("name: s", "name: ss"))
"""
IGNORED = "/raw\n/page\n/card\n/report\n/.cache\n__pycache__\n"


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@localhost", *arguments],
        cwd=root, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def clone(remote: Path, root: Path) -> Path:
    root.parent.mkdir()
    git(root.parent, "clone", "--quiet", "--branch", "production", str(remote), str(root))
    return root


@pytest.fixture
def clones(make_checkout: MakeCheckout, tmp_path: Path) -> tuple[Path, Path]:
    """One for data, which has the source, and one for training, of the branch `production`."""
    root = make_checkout(GRAPH)
    (root / ".gitignore").write_text(IGNORED)
    (root / "snapshot.yaml").write_text("name: s\ntaken_at: null\n")
    (root / "tasks/snapshot.py").write_text(NEXT_SNAPSHOT)
    dvc(root, "remote", "add", "--quiet", "--default", "shared", str(tmp_path / "shared"))
    git(root, "checkout", "--quiet", "-b", "production")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "Begin")
    remote = tmp_path / "remote.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(root), str(remote))
    both = clone(remote, tmp_path / "cpu/clone"), clone(remote, tmp_path / "gpu/clone")
    (tmp_path / "cpu/source").write_text("one\n")
    return both


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """The address of a server of S3 with a bucket `field`, gone when the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "s3.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        make_bucket = urllib.request.Request(f"{address}/field", method="PUT")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(make_bucket, timeout=5):
                break
            time.sleep(0.2)
        yield address
    finally:
        server.kill()
        server.wait()


def ran(root: Path) -> list[str]:
    """What stages really did beside a clone, since asked last."""
    told = root.parent / "ran"
    lines = told.read_text().split() if told.exists() else []
    told.unlink(missing_ok=True)
    return sorted(lines)


def test_training_goes_on_where_data_stopped_without_the_source(
    prefect_api: str, clones: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from flows.data import data
    from flows.training import training

    cpu, gpu = clones
    for number, text in enumerate(("one\n", "two\n")):
        (tmp_path / "cpu/source").write_text(text)
        monkeypatch.chdir(cpu)
        data(take_in=number > 0)
        assert ran(cpu) == ["ingest", "quality"]
        monkeypatch.chdir(gpu)
        training(publish=False)
        assert ran(gpu) == ["card", "report"]
        assert (gpu / "report").read_text() == text
    subjects = git(tmp_path / "remote.git", "log", "--format=%s", "production").splitlines()
    assert subjects == [
        *("Train a candidate", "Take in a snapshot"),
        *("Train a candidate", "Bring the data up to date", "Begin"),
    ]
    assert all(git(root, "status", "--porcelain") == "" for root in clones)


@pytest.mark.slow
def test_the_remote_may_lie_in_s3(
    prefect_api: str, clones: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from flows.data import data
    from flows.training import training

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with s3_server(tmp_path) as address:
        for root, flow in zip(clones, (data, partial(training, publish=False)), strict=True):
            monkeypatch.chdir(root)
            dvc(root, "remote", "add", "--local", "--quiet", "--default", "far", "s3://field/data")
            dvc(root, "remote", "modify", "--local", "--quiet", "far", "endpointurl", address)
            flow()
    cpu, gpu = clones
    assert (ran(cpu), ran(gpu)) == (["ingest", "quality"], ["card", "report"])
    assert (gpu / "report").read_text() == "one\n"
    assert not (tmp_path / "shared").exists()


def test_what_a_failed_run_left_is_dropped_and_what_people_changed_is_not(
    prefect_api: str, clones: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.following import following

    root, _ = clones
    monkeypatch.chdir(root)
    (root / "snapshot.yaml").write_text("name: half\ntaken_at: null\n")
    (root / "metrics").mkdir()
    (root / "metrics/validate.json").write_text("{}")
    following(wait_seconds=0.0)
    assert git(root, "status", "--porcelain") == ""
    assert "name: s\n" in (root / "snapshot.yaml").read_text()
    (root / "dvc.yaml").write_text(GRAPH + "# mine\n")
    with pytest.raises(BranchError, match=r"dvc\.yaml: edited in a clone that runs write"):
        following(wait_seconds=0.0)
    assert (root / "dvc.yaml").read_text().endswith("# mine\n")


def test_clones_that_have_parted_are_told_what_to_do_and_nothing_is_forced(
    prefect_api: str, clones: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from flows import branch
    from flows.following import following

    for root in clones:
        (root / "snapshot.yaml").write_text(f"name: {root.parent.name}\ntaken_at: null\n")
    cpu, gpu = clones
    monkeypatch.chdir(cpu)
    branch.advance(cpu, "From cpu", lambda *_: None)
    head = git(tmp_path / "remote.git", "rev-parse", "production")
    assert head == git(cpu, "rev-parse", "HEAD")
    monkeypatch.chdir(gpu)
    with pytest.raises(BranchError, match="have parted, nothing was forced") as raised:
        branch.advance(gpu, "From gpu", lambda *_: None)
    assert "git pull --no-rebase origin production" in str(raised.value)
    with pytest.raises(BranchError, match="have parted"):
        following(wait_seconds=0.0)
    assert git(tmp_path / "remote.git", "rev-parse", "production") == head
    # What is told is of help.
    git(gpu, "reset", "--quiet", "--hard", "origin/production")
    following(wait_seconds=0.0)
    assert git(gpu, "rev-parse", "HEAD") == head


def test_one_clone_at_a_time_advances_the_branch(
    prefect_api: str, clones: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.branch import only_writer
    from flows.data import data
    from flows.following import following
    from tasks.core.errors import BusyError

    monkeypatch.chdir(clones[0])
    with only_writer(0.0):
        with pytest.raises(BusyError, match="another run advances production"):
            data(wait_seconds=0.0)
        following(wait_seconds=0.0)
    with only_writer(0.0):
        """Whoever had the place has left it."""


def test_a_checkout_of_people_is_left_as_it_is(
    prefect_api: str, clones: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.data import data
    from flows.following import following

    root, _ = clones
    git(root, "checkout", "--quiet", "-b", "mine")
    (root / "dvc.yaml").write_text(GRAPH + "# mine\n")
    monkeypatch.chdir(root)
    following()
    data()
    assert git(root, "log", "--format=%s").splitlines() == ["Begin"]
    assert git(root, "status", "--porcelain").splitlines() == ["M dvc.yaml", "?? dvc.lock"]


def test_the_remote_is_the_one_that_the_branch_follows_or_the_only_one(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=production")
    assert find_remote(tmp_path) == ""
    git(tmp_path, "remote", "add", "one", "/nowhere")
    assert find_remote(tmp_path) == "one"
    git(tmp_path, "remote", "add", "two", "/nowhere")
    assert find_remote(tmp_path) == ""
    git(tmp_path, "config", "branch.production.remote", "two")
    assert find_remote(tmp_path) == "two"
