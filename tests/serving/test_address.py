"""Where a process of its own listens is read from its log, and why it does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from serving.address import await_address
from tasks.core.errors import TilthError


def start(log: Path, program: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen([sys.executable, "-c", program], stdout=output, stderr=output)


def test_an_address_is_found_once_it_is_told(tmp_path: Path) -> None:
    program = "import time; time.sleep(0.2); print('running on http://[::1]:81 (x)', flush=True)"
    process = start(tmp_path / "log", f"{program}; time.sleep(60)")
    assert await_address(tmp_path / "log", process, 30) == "http://[::1]:81"
    process.kill()
    process.wait()


def test_who_died_or_says_nothing_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    process = start(
        tmp_path / "log", "print('much', 'more', sep='\\n'); raise SystemExit('no port')"
    )
    with pytest.raises(TilthError, match=r"log ends with\n  much\n  more\n  no port"):
        await_address(tmp_path / "log", process, 30)
    process = start(tmp_path / "log", "import time; time.sleep(60)")
    with pytest.raises(TilthError, match="does not listen"):
        await_address(tmp_path / "log", process, 0.1)
    process.kill()
    process.wait()
