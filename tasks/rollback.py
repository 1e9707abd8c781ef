"""Makes the previous champion the champion again.

    python -m tasks.rollback
    python -m tasks.rollback --look FOLDER      writes its files there, and changes nothing else

In this order: the bytes out of DVC's cache (or its remote), DVC's record of them, the registry, a
commit. What is to be done follows from the registry of the last commit, so that after a crash the
same command goes on where it stopped.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from tasks.artifacts.atomic import replacing_folder
from tasks.artifacts.documents import save_text
from tasks.artifacts.dvc_cache import Cache, hash_as_dvc
from tasks.artifacts.registry import (
    REGISTRY,
    Registry,
    Version,
    load_registry,
    parse_registry,
    save_registry,
)
from tasks.core.errors import ArtifactError
from tasks.releasing import CHAMPION, commit, exit_status, has_remote, record_champion, run


def main(argv: list[str]) -> int:
    """Exit status: 0 rolled back (or looked at), 1 a user's error."""
    parser = argparse.ArgumentParser(prog="python -m tasks.rollback", description=__doc__)
    parser.add_argument("--look", type=Path, metavar="FOLDER")
    folder = parser.parse_args(argv).look
    return exit_status(rollback if folder is None else lambda: look(folder))


def look(folder: Path) -> str:
    """What was done, in a sentence. Raises ArtifactError if there is no previous version, or its
    bytes cannot be had."""
    _, previous = _versions(_committed_registry())
    restore(previous, folder)
    return f"{folder}: version {previous.version}"


def rollback() -> str:
    """What was done, in a sentence.

    Raises ArtifactError if there is no previous version, its bytes cannot be had, something else
    is half published, or DVC or git failed.
    """
    committed = _committed_registry()
    champion, previous = _versions(committed)
    wanted = committed.with_champion(champion.model_copy(update={"rolled_back": True}))
    wanted = wanted.with_champion(previous.model_copy(update={"rolled_back": False}))
    if load_registry(REGISTRY) not in (committed, wanted):
        raise ArtifactError(
            f"{REGISTRY}: differs from the last commit; `python -m tasks.publish` completes what "
            "was cut short"
        )
    if not CHAMPION.is_dir() or hash_as_dvc(CHAMPION) != previous.md5:
        restore(previous)
    if record_champion() != previous.md5:
        raise ArtifactError(f"{CHAMPION}: changed while it was restored; run again")
    save_registry(wanted, REGISTRY)
    words = f"Roll back from model version {champion.version} to {previous.version}"
    commit(lambda _: words)
    return f"version {previous.version} is the champion again, in place of {champion.version}"


def _committed_registry() -> Registry:
    return parse_registry(json.loads(run("git", "show", f"HEAD:./{REGISTRY}")), REGISTRY)


def _versions(committed: Registry) -> tuple[Version, Version]:
    champion, previous = committed.champion, committed.find(committed.aliases.previous)
    if champion is None or previous is None or previous.md5 is None:
        raise ArtifactError(f"{REGISTRY}: the last commit knows no previous version to go back to")
    return champion, previous


def restore(version: Version, target: Path = CHAMPION) -> None:
    """Has the champion's folder, or another, as it was when the version was published.

    Raises ArtifactError if its bytes are neither in DVC's cache nor in a remote.
    """
    assert version.md5 is not None
    cache = Cache(Path(run("dvc", "cache", "dir").strip()))
    if not _has_all(cache, version.md5):
        _fetch(version.md5)
    with replacing_folder(target) as folder:
        cache.copy(version.md5, folder / "whole")
        for file in sorted((folder / "whole").iterdir()):
            os.replace(file, folder / file.name)
        (folder / "whole").rmdir()


def _has_all(cache: Cache, md5: str) -> bool:
    if not cache.has(md5):
        return False
    listed = json.loads(cache.object_path(md5).read_text(encoding="utf-8"))
    return all(cache.has(entry["md5"]) for entry in listed)


def _fetch(md5: str) -> None:
    """From the remote; DVC fetches what a record names."""
    if not has_remote():
        raise ArtifactError(
            f"{CHAMPION}: the bytes with md5 {md5} are not in DVC's cache, and there is no remote"
        )
    # A record of its own, as others may be reading that of the champion.
    record = CHAMPION.with_name(f"fetched-{os.getpid()}.dvc")
    try:
        save_text(f"outs:\n- md5: {md5}\n  hash: md5\n  path: {record.stem}\n", record)
        run("dvc", "--wait-for-lock", "fetch", "--quiet", str(record))
    finally:
        record.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
