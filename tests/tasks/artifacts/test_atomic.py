"""Files appear whole or not at all: also when the writer is killed and when the disk is full.

Long because it holds the programs that are killed.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts.atomic import replacing, replacing_folder
from tasks.artifacts.documents import save_json, save_text
from tasks.artifacts.images import save_pixels
from tasks.artifacts.tables import save_csv, save_rows, save_table
from tasks.core.errors import ArtifactError

ROOT = Path(__file__).parents[3]
CHUNKS = 60
# Replaces a file piece by piece, tells of every piece and writes the next when told to.
WRITER = """
import sys
from pathlib import Path
from tasks.artifacts.atomic import replacing
with replacing(Path(sys.argv[1])) as temporary, temporary.open("wb", buffering=0) as file:
    for _ in range(int(sys.argv[2])):
        file.write(b"b" * 50_000)
        print("written", flush=True)
        sys.stdin.readline()
"""
LIMITED = """
import resource, sys
from pathlib import Path
from tasks.artifacts.documents import save_bytes
from tasks.core.errors import ArtifactError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    save_bytes(b"x" * 5000, Path(sys.argv[1]))
except ArtifactError as error:
    print(error)
"""
# Replaces a folder in a child that is disturbed before its first, second, … call of the system,
# until one is not disturbed; says each time what the place holds, then what it holds once a writer
# that gives up has been there.
DISTURBED_AT_EACH_CALL = """
import ctypes, os, signal, sys
from pathlib import Path
from tasks.artifacts.atomic import replacing_folder

folder, way, disturbance = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
if way == "two renames":
    ctypes.CDLL = lambda *_: object()

def disturb(event, _):
    global left
    if event == "open" or event.startswith(("os.", "shutil.", "ctypes.")):
        left -= 1
        if left == -1:
            if disturbance == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError if disturbance == "refused" else KeyboardInterrupt

def content():
    return ",".join(file.read_text() for file in sorted(folder.glob("*"))) or "nothing"

for calls in range(200):
    child = os.fork()
    if child == 0:
        left = calls
        sys.addaudithook(disturb)
        try:
            with replacing_folder(folder) as temporary:
                for part in "123":
                    (temporary / part).write_text(f"n{calls}")
        finally:
            os._exit(left < 0)
    disturbed = os.waitpid(child, 0)[1] != 0
    found = content()
    try:
        with replacing_folder(folder):
            restored = content()
            raise KeyError
    except KeyError:
        print(calls, found, restored, content(), len(os.listdir(folder.parent)))
    if not disturbed:
        break
"""


def start(program: str, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=PIPE, stdout=PIPE)


@pytest.mark.parametrize("num_pieces", [1, 2, 30, CHUNKS])
def test_a_killed_writer_leaves_the_old_content(tmp_path, num_pieces):
    file = tmp_path / "content"
    file.write_bytes(b"a" * 1000)
    with start(WRITER, file, CHUNKS) as writer:
        assert writer.stdin is not None and writer.stdout is not None
        writer.stdin.write("\n" * (num_pieces - 1))
        writer.stdin.flush()
        for _ in range(num_pieces):
            assert writer.stdout.readline() == "written\n"
        writer.kill()
        assert writer.wait() == -signal.SIGKILL
    (torn,) = tmp_path.glob(".content.*.tmp")
    assert torn.stat().st_size == 50_000 * num_pieces
    assert file.read_bytes() == b"a" * 1000


@pytest.mark.parametrize("trial", range(6))
def test_a_writer_killed_as_it_ends_leaves_the_old_or_the_new(tmp_path, trial):
    file = tmp_path / "content"
    file.write_bytes(b"a" * 1000)
    with start(WRITER, file, CHUNKS) as writer:
        assert writer.stdin is not None and writer.stdout is not None
        writer.stdin.write("\n" * CHUNKS)
        writer.stdin.flush()
        for _ in range(CHUNKS - trial):
            writer.stdout.readline()
        writer.kill()
    assert file.read_bytes() in (b"a" * 1000, b"b" * 50_000 * CHUNKS)


def test_a_writer_left_alone_writes_it_all(tmp_path):
    file = tmp_path / "content"
    start(WRITER, file, CHUNKS).communicate("\n" * CHUNKS)
    assert file.read_bytes() == b"b" * 50_000 * CHUNKS


def test_what_is_there_stays_readable_until_the_new_is_whole(tmp_path):
    file = tmp_path / "f"
    file.write_text("old")
    with replacing(file) as temporary:
        temporary.write_text("new")
        assert file.read_text() == "old"
        assert temporary.parent == file.parent
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


class Stop(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Stop])
def test_an_exception_leaves_the_old_and_no_litter(tmp_path, error):
    file = tmp_path / "f"
    file.write_text("old")
    with pytest.raises(error), replacing(file) as temporary:
        temporary.write_text("half")
        raise error
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_missing_folder_is_made(tmp_path):
    save_text("x", tmp_path / "a" / "b" / "f")
    assert (tmp_path / "a" / "b" / "f").read_text() == "x"


def full(path: Path) -> None:
    """Lets the next write to `path` meet a full disk."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    path.with_name(f".{path.name}.{os.getpid()}.tmp").symlink_to("/dev/full")


SAVES = {
    "json": lambda path: save_json({"a": 1}, path),
    "csv": lambda path: save_csv(pd.DataFrame({"a": range(9)}), path),
    "parquet": lambda path: save_table(pd.DataFrame({"a": range(9)}), path),
    "large parquet": lambda path: save_table(pd.DataFrame({"a": np.arange(300_000)}), path),
    "rows": lambda path: save_rows(np.arange(9), path),
    "many rows": lambda path: save_rows(np.arange(300_000), path),
    "pixels": lambda path: save_pixels(np.zeros((90, 16, 16, 3), np.uint8), path),
}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES.keys())
def test_a_full_disk_is_told_with_the_path_and_leaves_the_old(tmp_path, save):
    file = tmp_path / "content"
    file.write_text("old")
    full(file)
    with pytest.raises(ArtifactError, match=f"{file}: cannot be written: no space is left"):
        save(file)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_limit_on_the_size_of_files_is_told(tmp_path):
    file = tmp_path / "content"
    file.write_text("old")
    writer = start(LIMITED, file)
    told, _ = writer.communicate()
    assert told.startswith(f"{file}: cannot be written: the file would exceed the size")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_another_error_of_the_system_keeps_its_kind(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "f"):
        (tmp_path / "nowhere" / "f").read_text()


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    file = tmp_path / "f"
    file.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(file):
        pass
    assert file.read_text() == "old"


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "folder"
    for name in ("one", "two"):
        with replacing_folder(folder) as temporary:
            assert list(temporary.iterdir()) == []
            (temporary / name).write_text(name)
            if name == "two":
                assert [path.name for path in folder.iterdir()] == ["one"]
        assert [path.name for path in folder.iterdir()] == [name]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_survives_a_failed_replacement(tmp_path):
    folder = tmp_path / "folder"
    with replacing_folder(folder) as temporary:
        (temporary / "old").write_text("old")
    with pytest.raises(ValueError, match="no"), replacing_folder(folder) as temporary:
        (temporary / "new").write_text("half")
        raise ValueError("no")
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("disturbance", ["killed", "refused", "interrupted"])
@pytest.mark.parametrize("way", ["one exchange", "two renames"])
@pytest.mark.parametrize("before", ["old,old,old", "nothing"])
def test_a_folder_survives_a_writer_disturbed_at_any_call(tmp_path, before, way, disturbance):
    folder = tmp_path / "folder"
    if before != "nothing":
        with replacing_folder(folder) as temporary:
            for part in "123":
                (temporary / part).write_text("old")
    told, _ = start(DISTURBED_AT_EACH_CALL, folder, way, disturbance).communicate()
    trials = told.splitlines()
    assert len(trials) > 15
    last, was_gone = before, False
    for trial in trials:
        calls, found, restored, left, num_beside = trial.split()
        new = ",".join([f"n{calls}"] * 3)
        assert restored in (last, new) and left == restored
        assert int(num_beside) == (restored != "nothing")
        if found != restored:
            assert found == "nothing"
            was_gone = True
        last = restored
    assert last == new
    # What the exchange is for: without it there is a moment at which a kill leaves nothing.
    assert was_gone == ((way, disturbance) == ("two renames", "killed") and before != "nothing")


def test_what_a_killed_writer_left_is_deleted_by_the_next(tmp_path):
    file, other = tmp_path / "content", tmp_path / "content.more"
    with start("import sys; sys.stdin.read()") as living:
        gone = start("")
        gone.wait()
        for path in (file, other):
            for process in (gone, living):
                path.with_name(f".{path.name}.{process.pid}.tmp").write_text("torn")
        with replacing(file) as temporary:
            temporary.write_text("new")
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            [
                "content",
                f".content.{living.pid}.tmp",
                f".content.more.{gone.pid}.tmp",
                f".content.more.{living.pid}.tmp",
            ]
        )
        living.kill()
