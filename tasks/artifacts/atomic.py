"""Files appear whole or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.core.errors import ArtifactError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which takes its place when the block ends well.

    What stood at `path` before stays readable until then, and for good if the block fails.

    Raises:
        ArtifactError: the disk is full, read-only, or forbids writing.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(error: OSError, path: Path) -> Exception:
    reasons = {
        errno.ENOSPC: "no space is left on the disk",
        errno.EDQUOT: "the disk quota is used up",
        errno.EFBIG: "the file would exceed the size that this process may write",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "writing is not permitted",
    }
    reason = reasons.get(error.errno or 0)
    # NumPy counts what it could write, and keeps why not to itself.
    if error.errno is None and str(error).endswith(" written"):
        reason = reasons[errno.ENOSPC]
    if reason is None:
        return error
    return ArtifactError(f"{path}: cannot be written: {reason}; what was there before is unchanged")


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields an empty temporary folder, which takes the place of `path` when the block ends well.

    Raises ArtifactError as `replacing` does.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    former = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in sorted(temporary.iterdir()):
            _sync(file)
        if path.exists():
            os.replace(path, former)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)
