"""What publishing and rolling back have in common: the champion's place, DVC's record, a commit."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tasks.artifacts.documents import load_yaml
from tasks.core.errors import ArtifactError, TilthError
from tasks.telemetry import TELEMETRY_OFF

CHAMPION, RECORD = Path("models/champion"), Path("models/champion.dvc")
_COMMITTED = (
    *("params.yaml", "snapshot.yaml", "dvc.yaml", "dvc.lock"),
    *("decisions", "metrics", "models", "data"),
)


def exit_status(action: Callable[[], str]) -> int:
    """Does it and says what it did: 0, or 1 after a user's error."""
    os.environ.update(TELEMETRY_OFF)
    try:
        print(action())
    except TilthError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def record_champion() -> str:
    """Has DVC keep the champion's folder; the md5 that it gives it."""
    run("git", "rm", "-r", "--quiet", "--cached", "--ignore-unmatch", str(CHAMPION))
    run("dvc", "--wait-for-lock", "add", "--quiet", str(CHAMPION))
    return load_yaml(RECORD)["outs"][0]["md5"]


def has_remote() -> bool:
    return bool(run("dvc", "remote", "list").strip())


def commit(subject_of: Callable[[bool], str]) -> bool | None:
    """Commits what the run left: the champion's record, the registry, the lock and the metrics.

    `subject_of` is told whether anything in models/ changed, and so is the caller; None: there was
    nothing to commit.
    """
    paths = [path for path in _COMMITTED if Path(path).exists()]
    run("git", "add", "--", *paths)
    listed = run("git", "diff", "--cached", "--name-only", "--relative", "-z", "--", *paths)
    # One by one: git refuses to commit a folder in which it tracks nothing, as `data` may be.
    changed = [name for name in listed.split("\0") if name]
    if not changed:
        return None
    is_new = any(name.startswith("models/") for name in changed)
    name = run("git", "config", "--default", "Tilth", "--get", "user.name").strip()
    email = run("git", "config", "--default", "tilth@localhost", "--get", "user.email").strip()
    identity = ("-c", f"user.name={name}", "-c", f"user.email={email}")
    run("git", *identity, "commit", "--quiet", "-m", subject_of(is_new), "--", *changed)
    return is_new


def run(*command: str) -> str:
    """Standard output of a command. Raises ArtifactError with what it said if it fails."""
    executable = [sys.executable, "-m", "dvc"] if command[0] == "dvc" else [command[0]]
    done = subprocess.run([*executable, *command[1:]], capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise ArtifactError(f"`{' '.join(command)}` failed: {said}")
    return done.stdout
