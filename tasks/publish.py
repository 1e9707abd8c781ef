"""Makes the candidate the champion, if promote allows it.

    python -m tasks.publish

In this order: the champion's folder, DVC's record of it, a push where a remote is configured, the
registry, a commit. Each step leaves alone what is done already, so that after a crash the same
command goes on where it stopped. Outside the DAG: a champion that were an output of the stage that
judges it would be a cycle.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tasks.artifacts.atomic import replacing_folder
from tasks.artifacts.documents import load_json, save_json
from tasks.artifacts.models import load_classifier
from tasks.core.errors import ArtifactError, TilthError, VerdictError
from tasks.fingerprint import content_hash
from tasks.telemetry import TELEMETRY_OFF

CHAMPION, REGISTRY = Path("models/champion"), Path("models/registry.json")
WEIGHTS = Path("models/classifier.safetensors")
PARTS = (
    WEIGHTS,
    Path("models/classifier.onnx"),
    Path("models/reference.parquet"),
    Path("metrics/evaluate.json"),
)
_COMMITTED = ("params.yaml", "dvc.yaml", "dvc.lock", "decisions", "metrics", "models", "data")


def main() -> int:
    """Exit status: 0 published (or published before), 1 a user's error or a refused verdict."""
    os.environ.update(TELEMETRY_OFF)
    try:
        print(publish())
    except TilthError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def publish() -> str:
    """What was done, in a sentence.

    Raises:
        VerdictError: promote refused the candidate, or judged another one.
        ArtifactError: a part of the model is missing, or DVC or git failed.
    """
    _check_verdict()
    if not _is_champion():
        _set_champion()
    _run("git", "rm", "-r", "--quiet", "--cached", "--ignore-unmatch", str(CHAMPION))
    _run("dvc", "--wait-for-lock", "add", "--quiet", str(CHAMPION))
    if _run("dvc", "remote", "list").strip():
        _run("dvc", "--wait-for-lock", "push", "--quiet")
    version = _register()
    return _commit(version)


def _check_verdict() -> None:
    judged = load_json(Path("metrics/promote.json"))
    if judged["verdict"] not in ("first", "pass", "is_champion"):
        reasons = "; ".join(judged["reasons"])
        raise VerdictError(f"the candidate was refused, nothing is published: {reasons}")
    missing = [str(part) for part in PARTS if not part.is_file()]
    if missing:
        raise ArtifactError(f"missing: {missing}; `dvc repro` makes them, `dvc pull` fetches them")
    if content_hash(WEIGHTS) != judged["candidate_sha256"]:
        raise VerdictError(f"{WEIGHTS} is not the candidate that was judged; `dvc repro promote`")


def _is_champion() -> bool:
    return all(
        (CHAMPION / part.name).is_file()
        and content_hash(CHAMPION / part.name) == content_hash(part)
        for part in PARTS
    )


def _set_champion() -> None:
    with replacing_folder(CHAMPION) as folder:
        for part in PARTS:
            shutil.copyfile(part, folder / part.name)


def _register() -> int:
    """The version of the champion: registered now, or before."""
    registry = load_json(REGISTRY) if REGISTRY.is_file() else {"champion": 0, "versions": []}
    weights = content_hash(WEIGHTS)
    last = registry["versions"][-1] if registry["versions"] else None
    if last is not None and last["sha256"] == weights:
        return last["version"]
    version = registry["champion"] + 1
    metrics = load_json(Path("metrics/evaluate.json"))["metrics"]
    entry = {
        "version": version,
        "sha256": weights,
        "classes": load_classifier(WEIGHTS)[1].classes,
        "metrics": {name: one["value"] for name, one in metrics.items()},
    }
    save_json({"champion": version, "versions": [*registry["versions"], entry]}, REGISTRY)
    return version


def _commit(version: int) -> str:
    """Commits what the run left: the champion's record, the registry, the lock and the metrics."""
    paths = [path for path in _COMMITTED if Path(path).exists()]
    _run("git", "add", "--", *paths)
    listed = _run("git", "diff", "--cached", "--name-only", "--relative", "-z", "--", *paths)
    # One by one: git refuses to commit a folder in which it tracks nothing, as `data` may be.
    changed = [name for name in listed.split("\0") if name]
    if not changed:
        return f"version {version} was published before"
    is_new = any(name.startswith("models/") for name in changed)
    name = _run("git", "config", "--default", "Tilth", "--get", "user.name").strip()
    email = _run("git", "config", "--default", "tilth@localhost", "--get", "user.email").strip()
    identity = ("-c", f"user.name={name}", "-c", f"user.email={email}")
    subject = f"{'Publish' if is_new else 'Record the results of'} model version {version}"
    _run("git", *identity, "commit", "--quiet", "-m", subject, "--", *changed)
    if is_new:
        return f"published version {version}"
    return f"version {version} was published before; what changed since is committed"


def _run(*command: str) -> str:
    """Standard output of a command. Raises ArtifactError with what it said if it fails."""
    executable = [sys.executable, "-m", "dvc"] if command[0] == "dvc" else [command[0]]
    done = subprocess.run([*executable, *command[1:]], capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise ArtifactError(f"`{' '.join(command)}` failed: {said}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
