"""Scratch workspaces: the code as it stands, inputs and params as dvc.lock recorded them.

Nothing else is there, so a stage that reads what it does not declare fails or differs.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from tasks.artifacts.atomic import delete, left_behind
from tasks.artifacts.documents import load_yaml, save_text
from tasks.artifacts.dvc_cache import Cache, Recorded, contains, copy_if_same
from tasks.core.errors import ArtifactError

CODE_SUFFIXES = (".py", ".html")
_PARAMS, _GRAPH = Path("params.yaml"), Path("dvc.yaml")
_PARAMS_STAMP = Path(".cache/params-checked")


class Checkout(NamedTuple):
    """`known`: the paths that git tracks or would take, relative to `root`."""

    root: Path
    known: frozenset[str]
    cache: Cache


def known_to_git(root: Path) -> frozenset[str]:
    """What git tracks or would take beneath a folder; what it ignores is left out.

    Raises ArtifactError if the folder lies in no git repository, or git is missing.
    """
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout
    except FileNotFoundError:
        raise ArtifactError("git was not found on PATH; it tells code from data") from None
    except subprocess.CalledProcessError as error:
        raise ArtifactError(f"{root}: {error.stderr.decode(errors='replace').strip()}") from error
    return frozenset(os.fsdecode(name) for name in listed.split(b"\0") if name)


@contextmanager
def scratch_workspace(recorded: Recorded, checkout: Checkout) -> Iterator[Path]:
    """Yields a folder in which the recorded command can run; it is deleted afterwards, or else by
    the next to make one after this process was killed.

    Raises ArtifactError if recorded inputs cannot be had, and as documents do.
    """
    parent = checkout.root / ".cache"
    parent.mkdir(exist_ok=True)
    for left in left_behind(parent, r"verify-(\d+)-.*"):
        delete(left)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f"verify-{os.getpid()}-") as name:
        scratch = Path(name)
        _place_code(recorded, checkout, scratch)
        _place_params(recorded, checkout.root, scratch)
        for path, md5 in recorded.deps.items():
            if not is_code(path):
                _place_input(path, md5, checkout, scratch / path)
        yield scratch
        _keep_stamp(checkout.root, scratch)


def is_code(path: str) -> bool:
    """Whether a dependency is run or rendered rather than read as data."""
    return path.endswith(CODE_SUFFIXES)


def _place_code(recorded: Recorded, checkout: Checkout, scratch: Path) -> None:
    # All of our Python: a stage is started by code, and checks sections, that it does not declare.
    names = {name for name in checkout.known if name.endswith(".py")}
    names |= {path for path in recorded.deps if is_code(path)} | {str(_GRAPH)}
    for name in names:
        source, target = checkout.root / name, scratch / name
        # Git also lists what was deleted and not yet committed.
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _place_params(recorded: Recorded, root: Path, scratch: Path) -> None:
    current = load_yaml(root / _PARAMS)
    sections = _anchored(_with_recorded(current, recorded.params), root)
    if sections == current:
        shutil.copyfile(root / _PARAMS, scratch / _PARAMS)
    else:
        # JSON is YAML, and keeps the order of keys.
        save_text(json.dumps(sections, indent=2), scratch / _PARAMS)
    # The stamp names the state of each section that it vouches for, so it may be carried along and
    # back. Without it every stage would import all others to check their sections.
    if (root / _PARAMS_STAMP).is_file():
        (scratch / _PARAMS_STAMP).parent.mkdir()
        shutil.copyfile(root / _PARAMS_STAMP, scratch / _PARAMS_STAMP)


def _keep_stamp(root: Path, scratch: Path) -> None:
    unchanged = (root / _PARAMS).read_bytes() == (scratch / _PARAMS).read_bytes()
    if unchanged and (scratch / _PARAMS_STAMP).is_file():
        save_text((scratch / _PARAMS_STAMP).read_text(), root / _PARAMS_STAMP)


def _with_recorded(current: Any, params: dict[str, Any]) -> dict[str, Any]:
    sections = deepcopy(current) if isinstance(current, dict) else {}
    for name, value in params.items():
        *folders, key = name.split(".")
        place = sections
        for folder in folders:
            place = place.setdefault(folder, {})
        place[key] = deepcopy(value)
    return sections


def _anchored(sections: dict[str, Any], root: Path) -> dict[str, Any]:
    """A copy in which sources of images beside the code are named from the checkout."""
    sections = deepcopy(sections)
    for source in sections.get("ingest", {}).get("sources", {}).values():
        for key in source.keys() & {"root", "file"}:
            source[key] = os.path.join(root.absolute(), source[key])
    return sections


def _place_input(path: str, md5: str, checkout: Checkout, target: Path) -> None:
    in_git = any(contains(path, name) for name in checkout.known)
    try:
        if checkout.cache.has(md5) or not in_git:
            checkout.cache.copy(md5, target)
            return
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}; `dvc pull {path}` may fetch them") from error
    if not copy_if_same(checkout.root / path, md5, target):
        raise ArtifactError(
            f"{path}: changed since; expected md5 {md5}, which an earlier commit may have"
        )
