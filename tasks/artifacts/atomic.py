"""Files and folders appear whole or not at all.

What is being written lies beside its place as `.<name>.<process id>.tmp`. A process that was killed
leaves it there; the next to write to that place deletes it.
"""

import ctypes
import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.core.errors import ArtifactError

# Of renameat2(2): paths count from the current directory; the two change places.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


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
        for left in _left_behind(path):
            if left != temporary:
                delete(left)
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

    On Linux something stands at `path` at every moment. Elsewhere it is gone between two renames:
    if the process is killed just then, the next to replace the folder first puts it back.

    Raises ArtifactError as `replacing` does.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _recover(path)
        temporary.mkdir()
        yield temporary
        for written in (*sorted(temporary.iterdir()), temporary):
            _sync(written)
        _take_place(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        delete(temporary)


def _take_place(temporary: Path, path: Path) -> None:
    """Renames a folder to `path`; what stood there gets the temporary name."""
    if not path.exists():
        os.replace(temporary, path)
    elif not _exchange(temporary, path):
        former = temporary.with_suffix(".old")
        try:
            os.replace(path, former)
            os.replace(temporary, path)
        finally:
            if not path.exists():
                os.replace(former, path)
        # Deleted under this name it may be torn: only what is whole may be put back.
        os.replace(former, temporary)


def _exchange(one: Path, other: Path) -> bool:
    """Gives each the name of the other in one step; False where the system or the disk cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return rename is not None and rename(*names, _RENAME_EXCHANGE) == 0


def _recover(path: Path) -> None:
    """Puts back what a killed process had moved aside, and deletes what it had begun."""
    for left in _left_behind(path):
        if left.suffix == ".old" and not path.exists():
            os.replace(left, path)
        else:
            delete(left)


def _left_behind(path: Path) -> list[Path]:
    return left_behind(path.parent, rf"\.{re.escape(path.name)}\.(\d+)\.(tmp|old)")


def left_behind(folder: Path, pattern: str) -> list[Path]:
    """What of a name that fits `pattern` no other process works on: its first group is the id of
    the process that made it."""
    names = [re.fullmatch(pattern, name, re.DOTALL) for name in sorted(os.listdir(folder))]
    return [folder / name[0] for name in names if name and not _is_another(int(name[1]))]


def _is_another(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


def delete(path: Path) -> None:
    """Deletes a file, or a folder with all that is in it; what cannot be deleted stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
