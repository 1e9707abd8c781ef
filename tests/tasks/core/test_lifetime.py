"""Real processes, really killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tasks.core import lifetime

ROOT = Path(lifetime.__file__).parents[2]
SECONDS = 10.0

LEAF = """
import os, pathlib, sys, time
sys.path.insert(0, {root!r})
from tasks.core.lifetime import end_with_parent
end_with_parent()
pathlib.Path("leaf").write_text(str(os.getpid()))
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def await_file(path: Path) -> int:
    deadline = time.monotonic() + SECONDS
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.02)
    return int(path.read_text())


def await_end(pid: int, seconds: float = 3.0) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(pid)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "leaf.py").write_text(LEAF.format(root=str(ROOT)))
    yield tmp_path
    for name in ("leaf", "shell"):
        pid_file = tmp_path / name
        if pid_file.exists() and is_alive(pid := int(pid_file.read_text())):
            os.kill(pid, signal.SIGKILL)


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(arguments, cwd=folder, start_new_session=True)


def parent_script(folder: Path, name: str, shell: str) -> Path:
    script = folder / name
    script.write_text(
        f"import subprocess; subprocess.run(['/bin/sh', '-c', {shell!r}])"
        if shell
        else f"import subprocess; subprocess.run([{sys.executable!r}, 'leaf.py'])"
    )
    return script


def test_ends_with_a_parent_that_is_killed(folder: Path) -> None:
    parent = start(folder, sys.executable, str(parent_script(folder, "parent.py", "")))
    leaf = await_file(folder / "leaf")
    assert is_alive(leaf)
    parent.kill()
    parent.wait()
    assert await_end(leaf)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("name", ["dvc", "parent.py"])
def test_ends_although_a_shell_in_between_lives_on(folder: Path, name: str) -> None:
    shell = f"echo $$ > shell; {sys.executable} leaf.py; true"
    parent = start(folder, sys.executable, str(parent_script(folder, name, shell)))
    leaf, in_between = await_file(folder / "leaf"), await_file(folder / "shell")
    parent.kill()
    parent.wait()
    assert await_end(leaf)
    # The shell itself ends as its only command has.
    assert await_end(in_between)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_does_not_watch_beyond_dvc(folder: Path) -> None:
    shell = f"echo $$ > shell; {sys.executable} leaf.py; true"
    dvc = parent_script(folder, "dvc", shell)
    above = folder / "above.py"
    above.write_text(
        f"import subprocess; subprocess.Popen([{sys.executable!r}, {str(dvc)!r}]).wait()"
    )
    parent = start(folder, sys.executable, str(above))
    leaf = await_file(folder / "leaf")
    parent.kill()
    parent.wait()
    assert not await_end(leaf, seconds=1.0)


def test_lives_while_its_parent_does(folder: Path) -> None:
    parent = start(folder, sys.executable, str(parent_script(folder, "parent.py", "")))
    leaf = await_file(folder / "leaf")
    assert not await_end(leaf, seconds=1.0)
    parent.kill()
    parent.wait()


def test_a_group_ends_with_the_parent_of_its_leader(folder: Path) -> None:
    (folder / "work.py").write_text(
        "import subprocess; subprocess.run(['/bin/sh', '-c', 'echo $$ > leaf; sleep 60; true'])"
    )
    (folder / "parent.py").write_text(
        "import os, subprocess, sys; subprocess.run([sys.executable, '-P', "
        f"{lifetime.__file__!r}, str(os.getpid()), 'work'], start_new_session=True)"
    )
    parent = start(folder, sys.executable, "parent.py")
    leaf = await_file(folder / "leaf")
    parent.kill()
    parent.wait()
    assert await_end(leaf)


def test_refuses_to_end_a_group_it_does_not_lead() -> None:
    code = "from tasks.core.lifetime import end_group_with_parent as end; end(1)"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS
    )
    assert ended.returncode == 1
    assert "does not lead its group" in ended.stderr
