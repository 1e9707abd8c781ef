"""dvc.lock and DVC's cache, read without DVC: what each stage was run on, and those bytes."""

import graphlib
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from tasks.artifacts.documents import load_yaml
from tasks.core.errors import ArtifactError

_CHUNK = 1 << 20


class Recorded(NamedTuple):
    """A stage as dvc.lock has it. `deps` and `outs`: md5 by path, ending in `.dir` for a folder.

    `params`: values by dotted name.
    """

    stage: str
    cmd: str
    deps: dict[str, str]
    params: dict[str, Any]
    outs: dict[str, str]


def load_lock(path: Path) -> dict[str, Recorded]:
    """The recorded stages by name, each after those whose outputs it reads.

    Raises ArtifactError if the file is missing, is no dvc.lock, or holds a circle.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: not found in {Path.cwd()}; `dvc repro` writes it there")
    document = load_yaml(path)
    stages = document.get("stages") if isinstance(document, dict) else None
    if not isinstance(stages, dict):
        raise ArtifactError(f"{path}: expected a mapping with the key 'stages', as DVC writes it")
    try:
        recorded = {name: _recorded(name, entry) for name, entry in stages.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path}: is not as DVC 3 writes it: {error!r}") from error
    return {name: recorded[name] for name in _order(recorded, path)}


def _recorded(name: str, entry: dict[str, Any]) -> Recorded:
    cmd = entry["cmd"]
    return Recorded(
        name,
        cmd if isinstance(cmd, str) else " && ".join(cmd),
        {dep["path"]: dep["md5"] for dep in entry.get("deps", [])},
        dict(entry.get("params", {}).get("params.yaml", {})),
        {out["path"]: out["md5"] for out in entry.get("outs", [])},
    )


def _order(recorded: dict[str, Recorded], path: Path) -> list[str]:
    writers = {out: stage.stage for stage in recorded.values() for out in stage.outs}
    sorter = graphlib.TopologicalSorter(
        {
            # As a list: the order of a set changes from one process to the next.
            name: [writer for out, writer in writers.items() if _reads_any(stage.deps, out)]
            for name, stage in recorded.items()
        }
    )
    try:
        return list(sorter.static_order())
    except graphlib.CycleError as error:
        raise ArtifactError(
            f"{path}: stages depend on each other: {' → '.join(error.args[1])}"
        ) from error


def _reads_any(deps: dict[str, str], out: str) -> bool:
    return any(contains(out, dep) or contains(dep, out) for dep in deps)


def contains(folder: str, path: str) -> bool:
    """Whether the path is the folder (or file) itself or lies in it."""
    return path == folder or path.startswith(f"{folder}/")


def hash_as_dvc(path: Path) -> str:
    """The md5 that DVC 3 gives a file, or a folder by the list of its files.

    Raises ArtifactError if nothing is there.
    """
    if path.is_dir():
        files = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*"))
        listed = [{"md5": _md5(file), "relpath": name} for name, file in files if not file.is_dir()]
        return hashlib.md5(json.dumps(listed, sort_keys=True).encode()).hexdigest() + ".dir"
    if not path.exists():
        raise ArtifactError(f"{path}: does not exist")
    return _md5(path)


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "md5").hexdigest()


class Cache(NamedTuple):
    """DVC's cache. `folder` is what `dvc cache dir` prints."""

    folder: Path

    def object_path(self, md5: str) -> Path:
        """Where the cache keeps the bytes of that hash, if it has them."""
        return self.folder / "files" / "md5" / md5[:2] / md5[2:]

    def has(self, md5: str) -> bool:
        return self.object_path(md5).is_file()

    def copy(self, md5: str, target: Path) -> None:
        """Copies a file or folder out of the cache; a link would let a reader damage the cache.

        Raises:
            ArtifactError: bytes are not in the cache, or are not those that were put there.
        """
        source = self.object_path(md5)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not source.is_file():
            raise ArtifactError(f"the bytes with md5 {md5} are not in DVC's cache ({source})")
        if not md5.endswith(".dir"):
            if _copy_hashing(source, target) != md5:
                raise ArtifactError(f"{source}: DVC's cache is damaged; expected md5 {md5}")
            return
        if f"{_md5(source)}.dir" != md5:
            raise ArtifactError(f"{source}: DVC's cache is damaged; expected md5 {md5}")
        target.mkdir()
        for entry in json.loads(source.read_text(encoding="utf-8")):
            self.copy(entry["md5"], target / entry["relpath"])


def copy_if_same(path: Path, md5: str, target: Path) -> bool:
    """Copies a file or folder if it has that hash; False if it is missing or has another."""
    if not path.exists() or hash_as_dvc(path) != md5:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copyfile(path, target)
    return True


def _copy_hashing(source: Path, target: Path) -> str:
    digest = hashlib.md5()
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()
