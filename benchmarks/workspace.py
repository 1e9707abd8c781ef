"""Copies of the project to run in, commands timed in them, and the memory they take."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from ruamel.yaml import YAML

from benchmarks.record import ROOT
from tasks.artifacts.documents import save_json
from tasks.telemetry import TELEMETRY_OFF

_SAMPLE_SECONDS = 0.05
# What earlier runs recorded, and a champion whose weights a copy would not have.
_RECORDED = ("dvc.lock", "metrics", "models/champion.dvc", "models/registry.json")
# Settings of the caller's shell that would decide what is measured here.
_FOREIGN = ("PREFECT_", "DVC_", "TILTH_", "GIT_", "MAKE", "OMP_", "MKL_", "OPENBLAS_", "PYTHON")


class Ran(NamedTuple):
    """A command that ended well: its seconds, the most memory that it and all it started held at
    a time (the sum of resident sets, so pages shared count for each), and what it printed."""

    seconds: float
    peak_bytes: int
    output: str


class Clones:
    """Clones of the project, with the given params, that live as long as the block."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = params

    def __enter__(self) -> "Clones":
        self._stack = ExitStack()
        self._finished: Path | None = None
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def new(self) -> Path:
        """A clone in which nothing has run yet."""
        root = make_clone(self._stack.enter_context(temporary_folder()))
        set_params(root, self._params)
        return root

    def finished(self) -> Path:
        """A clone that `dvc repro` has finished, shared by those that leave it as it is."""
        if self._finished is None:
            self._finished = self.new()
            repro(self._finished)
        return self._finished


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is deleted in the end."""
    with tempfile.TemporaryDirectory(prefix="tilth-benchmark-") as folder:
        yield Path(folder)


def make_clone(folder: Path) -> Path:
    """A copy of the project in `folder`, as one commit in which nothing has run yet."""
    copy_project(folder)
    run(folder, "git", "init", "--quiet")
    commit_all(folder, "Begin")
    return folder


def copy_project(folder: Path) -> None:
    """Copies what git tracks or would take, without what earlier runs recorded."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        # Git also lists what was deleted and not yet committed.
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for name in _RECORDED:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    champion = folder / "models" / "champion"
    champion.mkdir(parents=True, exist_ok=True)
    (champion / "NONE").touch()
    save_json({"quality": None}, folder / "metrics" / "previous" / "quality.json")


def commit_all(root: Path, message: str) -> None:
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--no-verify", "-m", message)


def set_params(root: Path, values: Mapping[str, Any]) -> None:
    """Sets `section.key` → value in a clone's params.yaml, which keeps its comments; a key that is
    not there is added."""
    yaml = YAML()
    path = root / "params.yaml"
    document = yaml.load(path)
    for name, value in values.items():
        *above, last = name.split(".")
        node = document
        for key in above:
            node = node[key]
        node[last] = value
    yaml.dump(document, path)


def environment() -> dict[str, str]:
    """What a command finds: this Python first, nobody's settings, no telemetry."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_FOREIGN)}
    person = {"NAME": "Benchmark", "EMAIL": "benchmark@localhost"}
    git = {f"GIT_{who}_{k}": v for who in ("AUTHOR", "COMMITTER") for k, v in person.items()}
    bin_folder = str(Path(sys.executable).parent)
    path = os.pathsep.join((bin_folder, os.environ.get("PATH", os.defpath)))
    return {**kept, **git, **TELEMETRY_OFF, "PATH": path, "VIRTUAL_ENV": sys.prefix}


def run(root: Path, *command: str) -> Ran:
    """Runs a command in `root`; a command named `python` is this Python.

    Raises:
        RuntimeError: it did not end well; carries the last of what it printed.
    """
    first = sys.executable if command[0] == "python" else command[0]
    peak = 0
    with tempfile.TemporaryFile() as file:
        started = time.monotonic()
        child = subprocess.Popen(
            (first, *command[1:]),
            cwd=root,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        ended = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not ended.wait(_SAMPLE_SECONDS):
                peak = max(peak, resident_bytes(child.pid))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            status = child.wait()
            seconds = time.monotonic() - started
        finally:
            ended.set()
            watcher.join()
            end_tree(child)
        file.seek(0)
        output = file.read().decode("utf-8", "replace")
    if status != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {status}\n{output[-4000:]}")
    return Ran(seconds, peak, output)


def end_tree(child: subprocess.Popen[bytes]) -> None:
    """Ends what is left of a command, so that nothing writes into a clone that is deleted."""
    if child.poll() is not None:
        return
    with suppress(psutil.Error):
        tree = psutil.Process(child.pid).children(recursive=True)
        child.kill()
        for one in tree:
            with suppress(psutil.Error):
                one.kill()
        psutil.wait_procs(tree, timeout=10)
    child.wait()


def resident_bytes(pid: int) -> int:
    """What a process and all beneath it hold in memory now."""
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += one.memory_info().rss
    return total


def processor_seconds(pid: int) -> float:
    """What a process and all beneath it have spent so far, in their own code and the system's."""
    total = 0.0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                spent = one.cpu_times()
                total += spent.user + spent.system
    return total


def repro(root: Path, *arguments: str) -> Ran:
    return run(root, "python", "-m", "dvc", "repro", *arguments)


def stages_run(output: str) -> list[str]:
    """The stages that a `dvc repro` ran, in order."""
    begin, end = "Running stage '", "':"
    lines = (line for line in output.splitlines() if line.startswith(begin))
    return [line.removeprefix(begin).removesuffix(end) for line in lines]


def stage_command(root: Path, stage: str) -> list[str]:
    """The command of a stage, as dvc.yaml has it."""
    document = YAML(typ="safe", pure=True).load(root / "dvc.yaml")
    return document["stages"][stage]["cmd"].split()


def load_params(root: Path) -> Any:
    return YAML(typ="safe", pure=True).load(root / "params.yaml")


def load_metrics(root: Path, name: str) -> Any:
    return json.loads((root / "metrics" / f"{name}.json").read_text(encoding="utf-8"))


def stage_seconds(root: Path, stage: str) -> float:
    """The seconds that a stage's `main` took, as the stage itself observed them."""
    path = root / "runs" / f"{stage}.json"
    return json.loads(path.read_text(encoding="utf-8"))["seconds"]


def num_bytes(*folders: Path) -> int:
    """What the files of the folders hold, a file with two names once."""
    sizes: dict[tuple[int, int], int] = {}
    for folder in folders:
        for path in folder.rglob("*"):
            status = path.lstat()
            if path.is_file() and not path.is_symlink():
                sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())


def alternate(
    repeats: int, measure: Callable[[], float], reference: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Both measured in turn, so that what else the machine does falls on both alike."""
    pairs = [(measure(), reference()) for _ in range(repeats)]
    return [one for one, _ in pairs], [other for _, other in pairs]
