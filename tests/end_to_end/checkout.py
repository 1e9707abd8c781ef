"""A checkout of its own for a test: real files, real git, real DVC, real processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import psutil
from ruamel.yaml import YAML

from benchmarks.workspace import environment, set_params, stage_command, stages_run

PROGRESS_SECONDS = 200.0


class Ended(NamedTuple):
    """How a command ended, and all it said."""

    status: int
    said: str


class Checkout(NamedTuple):
    """A folder with the project in it; `around` is what its commands share beside it."""

    root: Path
    around: Path

    def environment(self) -> dict[str, str]:
        """Nothing of whoever runs the tests: no settings of git or DVC either."""
        settings = self.around / "settings"
        return {
            **environment(),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(settings / "global"),
            "DVC_SYSTEM_CONFIG_DIR": str(settings / "system"),
            "DVC_SITE_CACHE_DIR": str(settings / "site"),
            "PYTHONUNBUFFERED": "1",
            "TILTH_ENERGY": "off",
        }

    def start(
        self, *command: str, preexec_fn: Callable[[], None] | None = None
    ) -> subprocess.Popen[str]:
        """Starts a command as the leader of a process group of its own, as a terminal does."""
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=preexec_fn,
        )

    def run(self, *command: str, preexec_fn: Callable[[], None] | None = None) -> Ended:
        process = self.start(*command, preexec_fn=preexec_fn)
        try:
            said, _ = process.communicate()
        finally:
            end(process)
        return Ended(process.returncode, said)

    def dvc(self, *arguments: str) -> str:
        """What a DVC command that must succeed said."""
        return succeeded(self.run(sys.executable, "-m", "dvc", *arguments))

    def git(self, *arguments: str) -> str:
        return succeeded(self.run("git", *arguments))

    def module(self, *arguments: str) -> Ended:
        """Runs `python -m …`."""
        return self.run(sys.executable, "-m", *arguments)

    def stage(self, name: str, **paths: str) -> Ended:
        """Runs a stage as dvc.yaml does, with some of its paths replaced."""
        return self.run(*self.stage_command(name, **paths))

    def stage_command(self, name: str, **paths: str) -> tuple[str, ...]:
        words = stage_command(self.root, name)
        for flag, path in paths.items():
            words[words.index(f"--{flag.replace('_', '-')}") + 1] = path
        return (sys.executable, *words[1:])

    def set_params(self, values: Mapping[str, Any]) -> None:
        set_params(self.root, values)

    def load_yaml(self, name: str) -> Any:
        return YAML(typ="safe", pure=True).load((self.root / name).read_text(encoding="utf-8"))

    def lock(self) -> Any:
        """dvc.lock without its order, which depends on what ended first."""
        return self.load_yaml("dvc.lock")

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.root / name)

    def contents(self, *names: str) -> dict[str, bytes]:
        """The bytes of every file at or beneath the given paths."""
        return {
            str(file.relative_to(self.root)): file.read_bytes()
            for name in names
            for file in sorted([self.root / name, *(self.root / name).rglob("*")])
            if file.is_file()
        }

    def processes(self) -> list[str]:
        """The command lines of all processes that work in here."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if Path(process.cwd()) == self.root:
                    found.append(f"{process.pid} {' '.join(process.cmdline())}")
            except psutil.Error:
                continue
        return found

    def await_nobody(self, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left == []

    def await_stage(self, name: str, started: subprocess.Popen[str]) -> int:
        """The id of a stage's process, once it has begun to work."""
        lock = self.root / ".cache" / "locks" / f"{name}.lock"
        deadline = time.monotonic() + PROGRESS_SECONDS
        while time.monotonic() < deadline:
            text = lock.read_text() if lock.exists() else ""
            if text.isdigit() and f"tasks.stage {name}" in _command_line(int(text)):
                return int(text)
            if started.poll() is not None:
                raise AssertionError(f"ended before {name} began: {started.communicate()[0]}")
            time.sleep(0.05)
        raise AssertionError(f"stage {name} did not begin")


def _command_line(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""


def succeeded(ended: Ended) -> str:
    assert ended.status == 0, ended.said
    return ended.said


def refused(ended: Ended, *expected: str) -> str:
    """What a command said that had to fail with a message for people and without a traceback."""
    assert ended.status != 0, ended.said
    assert "Traceback" not in ended.said, ended.said
    for words in expected:
        assert words in ended.said, ended.said
    return ended.said


def end(process: subprocess.Popen[str]) -> None:
    """Kills what is left of a command's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def outcomes(said: str) -> dict[str, str]:
    """What `dvc repro` says became of each stage: ran, skipped or restored."""
    found: dict[str, str] = {}
    for line in said.splitlines():
        parts = line.split("'")
        if line.startswith("Running stage '"):
            found[parts[1]] = "ran"
        elif line.startswith("Stage '") and "didn't change, skipping" in line:
            found[parts[1]] = "skipped"
        elif line.startswith("Stage '") and "is cached - skipping run" in line:
            found[parts[1]] = "restored"
    return found


def ran(said: str) -> set[str]:
    return set(stages_run(said))
