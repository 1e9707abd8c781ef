"""One run per checkout: a lock that names its owner."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from tasks.core.errors import BusyError

LOCK = Path(".cache/run.lock")
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Owner:
    """Who holds a checkout."""

    flow: str
    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"flow {self.flow!r} (process {self.pid} on {self.host}, since {self.since})"


@contextmanager
def checkout_lock(
    root: Path,
    flow: str,
    wait_seconds: float,
    on_wait: Callable[[str], object],
) -> Iterator[Owner]:
    """Holds the checkout for one flow; says once for whom it waits.

    The operating system drops the lock with the process that holds it, and no child inherits
    it, so a file left by a killed run blocks nobody.

    Raises:
        BusyError: another run still holds the checkout after `wait_seconds`; names that run.
    """
    path = root / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _acquire(file, root, wait_seconds, on_wait)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        owner = Owner(flow, os.getpid(), socket.gethostname(), since)
        file.truncate(0)
        file.write(json.dumps(asdict(owner), sort_keys=True))
        file.flush()
        try:
            yield owner
        finally:
            file.truncate(0)


def _acquire(
    file: TextIO, root: Path, wait_seconds: float, on_wait: Callable[[str], object]
) -> None:
    deadline = time.monotonic() + wait_seconds
    told = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            busy = f"{root} is in use by {_owner(file)}"
        if time.monotonic() >= deadline:
            raise BusyError(f"{busy}; run again when it has ended")
        if not told:
            on_wait(f"{busy}; waiting for it to end, {wait_seconds:g} s at most")
            told = True
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))


def _owner(file: TextIO) -> str:
    file.seek(0)
    try:
        return str(Owner(**json.load(file)))
    except (ValueError, TypeError):
        # It has locked the file and not yet written its name, or is just leaving.
        return "another run"
