"""Children with real processes: their lines, their end, and the end of all they started."""

import threading
import time
from pathlib import Path

import psutil
import pytest

from tasks import children as children_module
from tasks.children import PROGRESS_SECONDS, Children, ChildrenStopped, Lines


def write_module(folder: Path, code: str) -> None:
    (folder / "work.py").write_text(code)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_lines_are_whole_however_the_bytes_arrive() -> None:
    text = "größe 1\r\n\x1b[32mgreen\x1b[0m\n\n  \nlast".encode()
    for size in (1, 2, 3, 7, len(text)):
        lines = Lines()
        got = [
            line
            for start in range(0, len(text), size)
            for line in lines.feed(text[start : start + size])
        ]
        assert got + lines.end() == ["größe 1", "green", "last"]


def test_a_progress_bar_shows_its_end_and_few_states_on_the_way() -> None:
    now = [0.0]
    lines = Lines(clock=lambda: now[0])
    got: list[str] = []
    for percent in range(100):
        got += lines.feed(f"{percent} %\r".encode())
        now[0] += PROGRESS_SECONDS / 20
    got += lines.feed(b"100 %\n")
    assert got == ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]


def test_text_without_any_end_of_line_is_not_lost() -> None:
    lines = Lines()
    assert lines.feed(b"half") == []
    assert lines.end() == ["half"]
    assert lines.end() == []


def test_lines_arrive_while_the_child_runs(tmp_path: Path) -> None:
    write_module(tmp_path, "import time\nprint('one')\ntime.sleep(1)\nprint('two')")
    seen: list[tuple[str, float]] = []
    ended = Children().run(["work"], tmp_path, lambda line: seen.append((line, time.monotonic())))
    assert ended.status == 0
    assert ended.last_lines == ("one", "two")
    assert seen[1][1] - seen[0][1] > 0.8


def test_the_exit_status_and_the_last_lines_are_told(tmp_path: Path) -> None:
    write_module(tmp_path, "for i in range(50): print(i)\nraise SystemExit(7)")
    ended = Children().run(["work"], tmp_path, lambda line: None)
    assert ended.status == 7
    assert ended.last_lines == tuple(str(number) for number in range(30, 50))


def test_what_a_child_leaves_behind_is_ended(tmp_path: Path) -> None:
    write_module(
        tmp_path,
        "import subprocess\nprint(subprocess.Popen(['sleep', '60']).pid)",
    )
    seen: list[str] = []
    started = time.monotonic()
    Children().run(["work"], tmp_path, seen.append)
    assert time.monotonic() - started < 5
    time.sleep(0.1)
    assert not is_alive(int(seen[0]))


def test_too_long_is_ended_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children_module, "GRACE_SECONDS", 0.5)
    write_module(
        tmp_path,
        "import signal, subprocess\n"
        "for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '60'])\nprint(child.pid)\nchild.wait()",
    )
    seen: list[str] = []
    started = time.monotonic()
    ended = Children().run(["work"], tmp_path, seen.append, timeout_seconds=1.0)
    assert ended.status is None
    assert time.monotonic() - started < 5
    time.sleep(0.1)
    assert not is_alive(int(seen[0]))


def test_stop_ends_those_that_run_and_starts_no_more(tmp_path: Path) -> None:
    write_module(tmp_path, "import time\nprint('up')\ntime.sleep(60)")
    children = Children()
    up = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            children.run(["work"], tmp_path, lambda line: up.set())
        except ChildrenStopped as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert up.wait(10)
    children.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert len(errors) == 1
    with pytest.raises(ChildrenStopped, match="not started"):
        children.run(["work"], tmp_path, print)


def test_one_turn_at_a_time_and_none_after_stop() -> None:
    children = Children()
    with children.turn():
        refused: list[ChildrenStopped] = []

        def wait() -> None:
            try:
                with children.turn():
                    pytest.fail("two turns at once")
            except ChildrenStopped as error:
                refused.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.3)
        children.stop()
        thread.join(5)
    assert len(refused) == 1


def test_children_inherit_no_lock_of_the_parent(tmp_path: Path) -> None:
    write_module(
        tmp_path,
        "import os\n"
        "names = [os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')"
        " if os.path.exists(f'/proc/self/fd/{fd}')]\n"
        "print(any('held' in name for name in names))",
    )
    seen: list[str] = []
    with (tmp_path / "held").open("w"):
        Children().run(["work"], tmp_path, seen.append)
    assert seen == ["False"]
