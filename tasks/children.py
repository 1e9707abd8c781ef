"""Children: a Python module run as a process group of its own, read line by line.

A group can be ended as a whole, and ends by itself when the process that started it dies.

ChildrenStopped(TilthError)     the run is being stopped, so nothing more is started
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from tasks.core import lifetime
from tasks.core.errors import TilthError
from tasks.telemetry import TELEMETRY_OFF

NUM_LAST_LINES = 20
PROGRESS_SECONDS = 10.0
GRACE_SECONDS = 5.0
ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class ChildrenStopped(TilthError):
    """Nothing is started any more, since the run is being stopped."""


class Ended(NamedTuple):
    """How a child ended: its exit status (None: killed for taking too long), its last lines."""

    status: int | None
    last_lines: tuple[str, ...]


@dataclass
class Lines:
    """Cuts the bytes a child writes into lines, and lets few of a progress bar's states pass."""

    clock: Callable[[], float] = time.monotonic
    _rest: str = field(default="", init=False)
    _shown: float = field(default=float("-inf"), init=False)

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that `chunk` completes, and now and then the state of a progress bar."""
        # Latin-1 keeps every byte apart, so that a letter cut in two is whole again below.
        *whole, self._rest = (self._rest + chunk.decode("latin-1")).split("\n")
        lines = [line for text in whole if (line := _last_state(text))]
        states = self._rest.rpartition("\r")
        if states[1]:
            self._rest = states[2]
            line = _last_state(states[0])
            if line and self.clock() - self._shown >= PROGRESS_SECONDS:
                self._shown = self.clock()
                lines.append(line)
        return lines

    def end(self) -> list[str]:
        """What was left without an end of line."""
        line = _last_state(self._rest)
        self._rest = ""
        return [line] if line else []


class Children:
    """What the stages of one run share: whose turn it is to compute, and how all are stopped."""

    def __init__(self) -> None:
        self._compute = threading.Lock()
        self._guard = threading.Lock()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._stopped = threading.Event()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Waits until no other stage computes.

        Raises:
            ChildrenStopped: `stop` was called meanwhile.
        """
        while not self._compute.acquire(timeout=0.2):
            if self.stopped:
                raise ChildrenStopped("stopped while it waited for its turn to compute")
        try:
            yield
        finally:
            self._compute.release()

    def run(
        self,
        arguments: Sequence[str],
        root: Path,
        on_line: Callable[[str], None],
        timeout_seconds: float | None = None,
    ) -> Ended:
        """Runs a Python module (`arguments[0]`) in `root`; no process it started outlives it.

        Raises:
            ChildrenStopped: `stop` was called.
        """
        child = self._start(arguments, root)
        last_lines: deque[str] = deque(maxlen=NUM_LAST_LINES)
        reader = threading.Thread(target=_read, args=(child, on_line, last_lines), daemon=True)
        reader.start()
        try:
            status = child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            end_groups([child])
            reader.join(GRACE_SECONDS)
            with self._guard:
                self._children.discard(child)
        if self.stopped:
            raise ChildrenStopped(f"{' '.join(arguments)} was stopped")
        return Ended(status, tuple(last_lines))

    def stop(self) -> None:
        """Ends all children, gently first, and starts no more."""
        with self._guard:
            self._stopped.set()
            children = tuple(self._children)
        end_groups(children)

    def _start(self, arguments: Sequence[str], root: Path) -> subprocess.Popen[bytes]:
        with self._guard:
            if self.stopped:
                raise ChildrenStopped(f"{' '.join(arguments)} was not started")
            child = start_module(arguments, root, subprocess.PIPE)
            self._children.add(child)
        return child


def start_module(
    arguments: Sequence[str],
    root: Path,
    output: int | IO[bytes],
    settings: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts the Python module `arguments[0]` in `root`, in a group that ends with this process;
    with `settings` in its environment."""
    bin_folder = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        **TELEMETRY_OFF,
        "PATH": os.pathsep.join((bin_folder, os.environ.get("PATH", os.defpath))),
        # A pipe is block-buffered otherwise, and the log would come in lumps.
        "PYTHONUNBUFFERED": "1",
        **(settings or {}),
    }
    return subprocess.Popen(
        (sys.executable, "-P", lifetime.__file__, str(os.getpid()), *arguments),
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def end_groups(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Asks the children and all in their groups to end, then kills what is left of them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        deadline = time.monotonic() + GRACE_SECONDS
        for child in children:
            if child.poll() is None:
                _signal_group(child, number)
        while any(child.poll() is None for child in children) and time.monotonic() < deadline:
            time.sleep(0.05)
    for child in children:
        _signal_group(child, signal.SIGKILL)
        child.wait()


def _read(
    child: subprocess.Popen[bytes], on_line: Callable[[str], None], last_lines: deque[str]
) -> None:
    assert child.stdout is not None
    lines = Lines()
    with child.stdout as stream:
        while chunk := os.read(stream.fileno(), 65536):
            for line in lines.feed(chunk):
                last_lines.append(line)
                on_line(line)
    for line in lines.end():
        last_lines.append(line)
        on_line(line)


def _last_state(text: str) -> str:
    """What a terminal would show of a line that was written over with carriage returns."""
    states = [state for state in text.split("\r") if state.strip()]
    if not states:
        return ""
    return ANSI.sub("", states[-1].encode("latin-1").decode("utf-8", "replace")).rstrip()


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)
