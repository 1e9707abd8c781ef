"""Rollbacks that people ask for on the dashboard: a process beside the service, which then takes on
the champion as it takes on any other."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from tasks.core import lifetime

_MODULE = "flows.reverting"
_MOST_SECONDS = 300.0
# A rollback from DVC's cache takes less, and its outcome then stands on the page that comes next.
_PATIENCE_SECONDS = 20.0


class Rollbacks:
    """One at a time; what came of the last one. All methods are for the event loop's thread."""

    def __init__(self, root: Path) -> None:
        """`root`: of the checkout whose champion is served."""
        self._root = root
        self._task: asyncio.Task[None] | None = None
        self.tone, self.outcome = "", ""

    @property
    def is_under_way(self) -> bool:
        return self._task is not None and not self._task.done()

    async def ask(self, champion: int) -> None:
        """Begins a rollback of that version unless one is under way, and waits a while for it."""
        if self._task is None or self._task.done():
            self.tone, self.outcome = "warning", f"A rollback of version {champion} is under way."
            self._task = asyncio.create_task(self._run(champion))
        await asyncio.wait([self._task], timeout=_PATIENCE_SECONDS)

    async def close(self) -> None:
        """Ends when what is under way has ended."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self, champion: int) -> None:
        begun = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        try:
            is_done, said = await self._ended(champion)
        except OSError as error:
            is_done, said = False, str(error)
        self.tone = "good" if is_done else "bad"
        self.outcome = f"Rollback of {begun}: {said}"

    async def _ended(self, champion: int) -> tuple[bool, str]:
        """Whether it was done, and what it said last."""
        programs = str(Path(sys.executable).parent)
        path = os.pathsep.join((programs, os.environ.get("PATH", os.defpath)))
        # A group of its own, which ends with this process: what it began, the same again completes.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", lifetime.__file__, str(os.getpid()),
            _MODULE, "--of", str(champion),
            cwd=self._root, env={**os.environ, "PATH": path}, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return False, f"it took longer than {_MOST_SECONDS:g} s, and was ended"
        lines = output.decode("utf-8", "replace").strip().splitlines()
        return process.returncode == 0, lines[-1] if lines else f"exit status {process.returncode}"
