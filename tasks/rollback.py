"""Makes the previous champion the champion again.

    python -m tasks.rollback

In this order: the bytes out of DVC's cache (or its remote), DVC's record of them, the registry, a
commit. What is to be done follows from the registry of the last commit, so that after a crash the
same command goes on where it stopped.
"""

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
from tasks.releasing import CHAMPION, RECORD, commit, exit_status, has_remote, record_champion, run


def main() -> int:
    """Exit status: 0 rolled back, 1 a user's error."""
    return exit_status(rollback)


def rollback() -> str:
    """What was done, in a sentence.

    Raises ArtifactError if there is no previous version, its bytes cannot be had, something else
    is half published, or DVC or git failed.
    """
    committed = _committed_registry()
    champion, previous = committed.champion, committed.find(committed.aliases.previous)
    if champion is None or previous is None or previous.md5 is None:
        raise ArtifactError(f"{REGISTRY}: the last commit knows no previous version to go back to")
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


def restore(version: Version) -> None:
    """Has the champion's folder as it was when the version was published.

    Raises ArtifactError if its bytes are neither in DVC's cache nor in a remote.
    """
    assert version.md5 is not None
    cache = Cache(Path(run("dvc", "cache", "dir").strip()))
    if not _has_all(cache, version.md5):
        _fetch(version.md5)
    with replacing_folder(CHAMPION) as folder:
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
    former = RECORD.read_text(encoding="utf-8")
    try:
        save_text(f"outs:\n- md5: {md5}\n  hash: md5\n  path: {CHAMPION.name}\n", RECORD)
        run("dvc", "--wait-for-lock", "fetch", "--quiet", str(RECORD))
    finally:
        save_text(former, RECORD)


if __name__ == "__main__":
    sys.exit(main())
