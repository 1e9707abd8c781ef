"""What was appended is read again, whatever was torn."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.journal import Journal, load_segment
from tasks.core.errors import ArtifactError, BusyError

ROOT = Path(__file__).parents[2]
MOST = 1_000_000
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
records_of = st.lists(st.dictionaries(st.text(), values, max_size=3), max_size=8)


def read_all(journal):
    journal.rotate()
    return [record for path in journal.closed() for record in load_segment(path)[0]]


@given(batches=st.lists(records_of, max_size=4), cut=st.integers(0, 400))
@settings(max_examples=40, deadline=None)
def test_a_torn_tail_takes_no_whole_record_with_it(tmp_path_factory, batches, cut):
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, MOST)
    for batch in batches:
        journal.append(batch)
    journal.close()
    given = [record for batch in batches for record in batch]
    for path in folder.glob("*.log"):
        whole = path.read_bytes()
        torn = whole[: max(0, len(whole) - cut)]
        path.write_bytes(torn)
        found, num_damaged = load_segment(path)
        assert found == given[: torn.count(b"\n")] or found == given[: torn.count(b"\n") + 1]
        assert num_damaged <= 1


def test_a_flipped_bit_costs_its_own_line(tmp_path):
    journal = Journal(tmp_path, MOST)
    journal.append([{"n": number} for number in range(3)])
    journal.close()
    (path,) = tmp_path.glob("*.log")
    data = bytearray(path.read_bytes())
    data[data.index(b'"n":1') + 4] ^= 1
    path.write_bytes(data)
    assert load_segment(path) == ([{"n": 0}, {"n": 2}], 1)


def test_segments_are_numbered_on_and_what_is_open_is_left_alone(tmp_path):
    journal = Journal(tmp_path, MOST)
    journal.append([{"n": 0}])
    assert journal.closed() == []
    journal.rotate()
    journal.append([{"n": 1}])
    (first,) = journal.closed()
    assert load_segment(first) == ([{"n": 0}], 0)
    journal.close()
    journal = Journal(tmp_path, MOST)
    assert journal.num_bytes == sum(path.stat().st_size for path in tmp_path.glob("*.log"))
    journal.append([{"n": 2}], synced=True)
    assert read_all(journal) == [{"n": 0}, {"n": 1}, {"n": 2}]
    for path in journal.closed():
        journal.drop(path)
    assert journal.num_bytes == 0 and read_all(journal) == []
    journal.close()


def test_a_full_journal_takes_all_of_a_batch_or_nothing(tmp_path):
    journal = Journal(tmp_path, 100)
    journal.append([{"n": 0}])
    with pytest.raises(ArtifactError, match="is full"):
        journal.append([{"n": 1}, {"text": "x" * 100}])
    journal.append([{"n": 2}])
    assert read_all(journal) == [{"n": 0}, {"n": 2}]
    journal.close()


def test_a_full_disk_leaves_no_half_line(tmp_path):
    journal = Journal(tmp_path, MOST)
    journal.append([{"n": 0}])
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40, former[1]))
        with pytest.raises(ArtifactError, match="cannot be written"):
            journal.append([{"text": "x" * 100}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, ignored)
    journal.append([{"n": 1}])
    assert read_all(journal) == [{"n": 0}, {"n": 1}]
    journal.close()


def test_one_at_a_time_has_a_journal(tmp_path):
    journal = Journal(tmp_path, MOST)
    with pytest.raises(BusyError, match="another server"):
        Journal(tmp_path, MOST)
    journal.close()
    Journal(tmp_path, MOST).close()


WRITER = """
import sys
from pathlib import Path
from monitoring.journal import Journal
journal = Journal(Path(sys.argv[1]), 10**9)
number = 0
while True:
    journal.append([{"n": number + step} for step in range(3)])
    number += 3
    print(number, flush=True)
    if number % 300 == 0:
        journal.rotate()
"""


def test_what_was_acknowledged_outlives_kill_9(tmp_path):
    for trial in range(3):
        folder = tmp_path / str(trial)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert writer.stdout is not None and writer.stdout.readline()
        time.sleep(0.05 * (trial + 1))
        writer.kill()
        told = [int(line) for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        journal = Journal(folder, 10**9)
        numbers = [record["n"] for record in read_all(journal)]
        journal.close()
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= (told[-1] if told else 3)


def test_what_a_record_holds_breaks_no_line(tmp_path):
    journal = Journal(tmp_path, MOST)
    journal.append([{"label": "é\n\u2028"}])
    journal.close()
    (path,) = tmp_path.glob("*.log")
    (line,) = path.read_bytes().splitlines()
    assert json.loads(line[9:]) == {"label": "é\n\u2028"}


def test_what_was_written_here_is_not_read_again_and_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("monitoring.journal._MOST_HELD", 5)
    journal = Journal(tmp_path, MOST)
    for first in (0, 3, 6):
        journal.append([{"n": first}])
        journal.append([{"n": first + 1}, {"n": first + 2}])
        journal.rotate()
    journal.append([{"n": 9}])
    journal.rotate()
    closed = journal.closed()
    # All of the first is remembered; of the second a part would be, and so nothing is.
    assert sorted(journal._held) == [1, 4]
    assert [journal.load(path) for path in closed] == [load_segment(path) for path in closed]
    for path in closed:
        path.rename(path.with_suffix(".away"))
    assert journal.load(closed[0]) == ([{"n": 0}, {"n": 1}, {"n": 2}], 0)
    with pytest.raises(FileNotFoundError):
        journal.load(closed[1])
    for path in closed:
        path.with_suffix(".away").rename(path)
        journal.drop(path)
    assert journal._held == {}
    journal.close()


def test_who_waits_for_the_disk_waits_together_and_for_all_that_he_wrote(tmp_path, monkeypatch):
    synced, syncing, num_done = [], os.fdatasync, [0] * 8
    log = tmp_path / "000000000001.log"

    def slow(descriptor):
        written = os.fstat(descriptor).st_size
        # It takes as long as everybody else takes to write a line and to wait for the disk too.
        while log.read_bytes().count(b'"thread"') < sum(min(5, done + 1) for done in num_done):
            time.sleep(0.001)
        syncing(descriptor)
        synced.append(written)

    monkeypatch.setattr(os, "fdatasync", slow)
    journal = Journal(tmp_path, MOST)
    confirmed = []

    def write(thread):
        for number in range(5):
            journal.append([{"thread": thread, "n": number}], synced=True)
            num_done[thread] += 1
            # What stood before this line stands there still: files only grow.
            line = f'"thread":{thread},"n":{number}}}\n'.encode()
            end = log.read_bytes().index(line) + len(line)
            confirmed.append(max(synced) >= end)

    threads = [Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert confirmed == [True] * 40
    # Alone each would have waited for a sync of its own: forty. A line waits for the sync that
    # runs, if any, and for the next, which is for all who wait.
    assert len(synced) <= 11
    journal.close()
    assert len(load_segment(log)[0]) == 40


def test_a_disk_that_does_not_confirm_is_told(tmp_path, monkeypatch):
    journal = Journal(tmp_path, MOST)
    journal.append([{"n": 0}], synced=True)

    def fail(_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        with pytest.raises(ArtifactError, match="Input/output error"):
            journal.append([{"n": 1}], synced=True)
    journal.append([{"n": 2}], synced=True)
    assert read_all(journal)[0] == {"n": 0} and read_all(journal)[-1] == {"n": 2}
    journal.close()
