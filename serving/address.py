"""Where a server listens that was started as a process of its own, as its log tells."""

import re
import subprocess
import time
from pathlib import Path

from tasks.core.errors import TilthError

_LISTENING = re.compile(r"running on (http://\S+)")
_LOOK_EVERY_SECONDS = 0.02
_NUM_LAST_LINES = 5


def await_address(log: Path, process: subprocess.Popen[bytes], seconds: float = 60.0) -> str:
    """Returns once it listens. Raises TilthError with the end of its log if it does not."""
    deadline = time.monotonic() + seconds
    while not (found := _LISTENING.search(text := log.read_text(errors="replace"))):
        if process.poll() is not None or time.monotonic() > deadline:
            said = "\n  ".join(text.splitlines()[-_NUM_LAST_LINES:])
            raise TilthError(f"the server does not listen; {log} ends with\n  {said}")
        time.sleep(_LOOK_EVERY_SECONDS)
    return found[1]
