"""A process that ends when the one it works for ends, however that one ended.

`kill -9` gives a runner no chance to stop what it started. A stage left alive would later
overwrite what its successor wrote, so the stage itself watches those it works for.

Run as a script, this file starts a Python module as the leader of a process group that ends
with the parent: `python -P tasks/core/lifetime.py <parent's id> dvc repro`. It imports the
standard library alone: a stage calls `end_with_parent` before anything slow is loaded.
"""

import ctypes
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.2


class Ancestor(NamedTuple):
    """A process, told from a later one that got the same id by when it started."""

    pid: int
    started: int


class _Stat(NamedTuple):
    state: str
    parent: int
    session: int
    started: int


def end_with_parent(above: bool = True) -> None:
    """Has the kernel or a watching thread kill this process once its parent is gone.

    On Linux the kernel is asked to (`PR_SET_PDEATHSIG`), and a thread watches those above the
    parent too, up to the `dvc` process or else the topmost of this session: a shell that stands
    between DVC and a stage outlives DVC. On other platforms, and without `above`, only the
    parent counts.
    """
    if sys.platform == "linux":
        _ask_kernel()
        ancestors = find_ancestors(os.getpid())[: None if above else 1]
        _watch(lambda: all(_is_alive(ancestor) for ancestor in ancestors), _end_self)
    else:
        parent = os.getppid()
        _watch(lambda: os.getppid() == parent, _end_self)


def end_group_with_parent(parent: int) -> None:
    """Has a thread kill this whole process group once `parent` is not its parent any more.

    For the leader of a group: those it started are taken along, whether or not they watch.
    The parent names itself, as it may end before this process gets to ask for its id.

    Raises:
        RuntimeError: the process does not lead its group; the kill would hit strangers.
    """
    if os.getpgrp() != os.getpid():
        raise RuntimeError(f"process {os.getpid()} does not lead its group {os.getpgrp()}")
    _watch(lambda: os.getppid() == parent, lambda: os.killpg(0, signal.SIGKILL))


def find_ancestors(pid: int) -> tuple[Ancestor, ...]:
    """The processes that `pid` works for: up to `dvc`, or the topmost of the same session."""
    own = stat = _stat(pid)
    found: list[Ancestor] = []
    while own and stat and (above := _stat(stat.parent)):
        if found and above.session != own.session:
            break
        found.append(Ancestor(stat.parent, above.started))
        if _is_dvc(stat.parent):
            break
        stat = above
    return tuple(found)


def _ask_kernel() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def _end_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _watch(holds: Callable[[], bool], end: Callable[[], None]) -> None:
    def poll() -> None:
        while holds():
            time.sleep(POLL_SECONDS)
        end()

    threading.Thread(target=poll, name="end-with-parent", daemon=True).start()


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # A process may carry spaces and brackets in its name, so fields count from the last one.
    fields = text.rpartition(")")[2].split()
    return _Stat(fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def _is_alive(ancestor: Ancestor) -> bool:
    stat = _stat(ancestor.pid)
    return stat is not None and stat.started == ancestor.started and stat.state not in "ZX"


def _is_dvc(pid: int) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return False
    # Only the first few, and no text with blanks: a shell's command line may name any path.
    first = [argument for argument in arguments[:5] if " " not in argument]
    return any(Path(argument).name == "dvc" for argument in first)


def main(argv: list[str]) -> None:
    """Runs the module `argv[1]` with the rest as its arguments; `argv[0]` is the parent's id."""
    end_group_with_parent(int(argv[0]))
    # As `python -m` does: the checkout comes first, so that its own modules are found.
    sys.path.insert(0, os.getcwd())
    sys.argv = argv[1:]
    runpy.run_module(argv[1], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
