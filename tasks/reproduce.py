"""Prefect → DVC: the one task, which reproduces one stage and says what DVC did.

StageFailed(TilthError)     the stage's command or DVC itself failed, or took too long
ChildrenStopped (tasks/children.py)     the run is being stopped
"""

import configparser
import contextlib
import time
from pathlib import Path
from typing import Any, NamedTuple

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed
from ruamel.yaml import YAML

from tasks.children import Children, ChildrenStopped, Ended
from tasks.core.errors import TilthError

# What DVC says to a person at a prompt; in a log of many stages it hides what matters.
HINTS = (
    "Data and pipelines are up to date.",
    "To track the changes with git, run:",
    "To enable auto staging, run:",
    "\tgit add ",
    "\tdvc config core.autostage ",
    "Use `dvc push` to send your updates to remote storage.",
)

BUSY = "is busy, it is being blocked by:"
BUSY_SECONDS = 60.0
REST_SECONDS = 0.3


class StageFailed(TilthError):
    """A stage did not end well; says which, how, and what it printed last."""


class Outcome(NamedTuple):
    """What became of a stage: `ran`, `skipped` or `restored`, and how long that took."""

    stage: str
    outcome: str
    seconds: float


def has_remote(root: Path) -> bool:
    """Whether the checkout names a DVC remote to pull from."""
    config = configparser.ConfigParser(interpolation=None, strict=False)
    paths = [root / ".dvc" / name for name in ("config", "config.local")]
    # A file that cannot be parsed stops DVC, which says so better than we could.
    with contextlib.suppress(configparser.Error):
        config.read(paths, encoding="utf-8")
    return bool(config.get("core", "remote", fallback=""))


def missing_inputs(root: Path, stage: str) -> tuple[str, ...]:
    """The absent inputs of a stage that are not, or may not be, those it was last run with.

    `--allow-missing` takes an absent input for unchanged. A whole `dvc repro` compares it with
    what the stage above has recorded, but with `--single-item` DVC knows of no stage above, and
    would skip a stage whose input has changed, even one that never ran. So these have to be fetched
    first.
    """
    lock = root / "dvc.lock"
    _await_rest(lock)
    recorded = _load(lock).get("stages") or {}
    written = {
        out["path"]: out.get("md5") for entry in recorded.values() for out in entry.get("outs", [])
    }
    known = {dep["path"]: dep.get("md5") for dep in recorded.get(stage, {}).get("deps", [])}
    declared = (_load(root / "dvc.yaml").get("stages") or {}).get(stage, {}).get("deps", [])
    missing: list[str] = []
    for path in [*known, *(path for path in declared if path not in known)]:
        if (root / path).exists():
            continue
        for out in _load(root / f"{path}.dvc").get("outs", []):
            written[path] = out.get("md5")
        inside = any(path.startswith(f"{out}/") for out in written)
        if inside or (path in written and written[path] != known.get(path)):
            missing.append(path)
    return tuple(missing)


def _await_rest(path: Path) -> None:
    # DVC writes it in place, so while another stage ends, half of it is there to read.
    deadline = time.monotonic() + 10 * REST_SECONDS
    while path.is_file() and time.monotonic() < deadline:
        age = time.time() - path.stat().st_mtime
        if not 0 <= age < REST_SECONDS:
            return
        time.sleep(REST_SECONDS - age)


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")) or {}


def outcome_of(stage: str, line: str) -> str | None:
    """What a line of DVC's says became of the stage, or None if it says nothing of that."""
    return {
        f"Stage '{stage}' didn't change, skipping": "skipped",
        f"Stage '{stage}' is cached - skipping run, checking out outputs": "restored",
        f"Pulling data for stage: '{stage}'": "restored",
        f"Running stage '{stage}':": "ran",
    }.get(line)


# A run that is being stopped must not try again.
def _may_retry(_task: Any, run: Any, state: State[Any]) -> bool:
    return not isinstance(state.result(raise_on_failure=False), ChildrenStopped)


@task(
    name="reproduce",
    task_run_name="{stage}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_condition_fn=_may_retry,
)
def reproduce(
    stage: str,
    root: Path,
    children: Children,
    compute: bool = False,
    timeout_seconds: float | None = None,
) -> State[Any]:
    """Has DVC reproduce one stage, and returns a completed state that holds its `Outcome`.

    The state is named `Skipped` or `Restored` where the stage did not run. A stage that is to
    `compute` waits for its turn; its time counts from then.

    Raises:
        StageFailed: DVC ended with an error, or was killed after `timeout_seconds`.
        ChildrenStopped: the run is being stopped.
    """
    with children.turn() if compute else contextlib.nullcontext():
        outcome = _reproduce(stage, root, children, timeout_seconds)
    if outcome.outcome == "ran":
        return Completed(data=outcome)
    return Completed(name=outcome.outcome.capitalize(), data=outcome)


# Another DVC command on the same files, even a `dvc status`, makes DVC give up at once; and so
# does the lock of a killed one, for as long as the system has not yet cleared that away.
def _is_busy(ended: Ended) -> bool:
    return ended.status not in (0, None) and any(BUSY in line for line in ended.last_lines)


def _failure(stage: str, ended: Ended, timeout_seconds: float | None) -> str:
    how = (
        f"was killed after {timeout_seconds:g} s, its timeout_seconds"
        if ended.status is None
        else f"ended with exit status {ended.status}"
    )
    return "\n".join((f"stage {stage!r} {how}; last lines:", *ended.last_lines))


def _reproduce(
    stage: str, root: Path, children: Children, timeout_seconds: float | None
) -> Outcome:
    logger = get_run_logger()
    said: list[str] = []

    def on_line(line: str) -> None:
        # What follows "Running stage" is the stage's own output, which may quote anything.
        if "ran" not in said and (word := outcome_of(stage, line)):
            said.append(word)
        if not line.startswith(HINTS):
            logger.info(line)

    started = time.monotonic()
    pull = ("--pull", "--allow-missing") if has_remote(root) else ()
    commands: list[tuple[str, ...]] = [
        ("dvc", "--wait-for-lock", "repro", "--single-item", *pull, stage)
    ]
    if pull and (missing := missing_inputs(root, stage)):
        commands.insert(0, ("dvc", "--wait-for-lock", "pull", *missing))
    for command in commands:
        while True:
            left = timeout_seconds and max(0.0, timeout_seconds - (time.monotonic() - started))
            ended = children.run(command, root, on_line, left)
            if not _is_busy(ended) or time.monotonic() - started > BUSY_SECONDS:
                break
            time.sleep(1.0)
        if ended.status != 0:
            raise StageFailed(_failure(stage, ended, timeout_seconds))
    return Outcome(stage, said[-1] if said else "ran", time.monotonic() - started)
