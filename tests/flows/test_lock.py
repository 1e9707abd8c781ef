"""One run per checkout, with real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.lock import LOCK, checkout_lock
from tasks.core.errors import BusyError

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from pathlib import Path
from flows.lock import checkout_lock
with checkout_lock(Path(sys.argv[1]), "training", 0, print):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(root: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root), str(seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_owner_is_named_while_it_holds(tmp_path: Path) -> None:
    with checkout_lock(tmp_path, "data", 0, print) as owner:
        written = json.loads((tmp_path / LOCK).read_text())
        assert written == {
            "flow": "data",
            "pid": os.getpid(),
            "host": owner.host,
            "since": owner.since,
        }
    assert (tmp_path / LOCK).read_text() == ""


def test_a_second_run_leaves_and_says_for_whom(tmp_path: Path) -> None:
    first = hold(tmp_path, 30)
    try:
        match = rf"flow 'training' \(process {first.pid} on "
        with (
            pytest.raises(BusyError, match=match),
            checkout_lock(tmp_path, "data", 0, print),
        ):
            pytest.fail("two runs in one checkout")
    finally:
        first.kill()
        first.communicate()


def test_a_second_run_waits_and_says_so_once(tmp_path: Path) -> None:
    first = hold(tmp_path, 1.5)
    said: list[str] = []
    with checkout_lock(tmp_path, "data", 30, said.append):
        assert json.loads((tmp_path / LOCK).read_text())["flow"] == "data"
    first.communicate()
    assert len(said) == 1
    assert f"process {first.pid}" in said[0]


def test_waiting_has_an_end(tmp_path: Path) -> None:
    first = hold(tmp_path, 30)
    started = time.monotonic()
    try:
        with pytest.raises(BusyError), checkout_lock(tmp_path, "data", 1.0, print):
            pytest.fail("two runs in one checkout")
    finally:
        first.kill()
        first.communicate()
    assert 0.9 < time.monotonic() - started < 5


def test_a_killed_run_blocks_nobody(tmp_path: Path) -> None:
    first = hold(tmp_path, 30)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == first.pid
    with checkout_lock(tmp_path, "data", 0, print):
        pass


def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    with checkout_lock(tmp_path, "data", 0, print):
        child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        with checkout_lock(tmp_path, "training", 0, print):
            pass
    finally:
        child.kill()
        child.wait()


def test_a_failed_run_gives_the_checkout_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), checkout_lock(tmp_path, "data", 0, print):
        raise ZeroDivisionError
    with checkout_lock(tmp_path, "data", 0, print):
        pass
