"""The journal is emptied into the store, once, whenever there is one."""

import os
import time
from datetime import UTC, datetime, timedelta

from benchmarks.served import wait_until
from monitoring.images import KeptImages
from monitoring.journal import Journal
from monitoring.recorder import Recorder, Retention
from monitoring.store import Store, parse_store, to_micros
from tests.monitoring.records import feedback, record

FOR_EVER = Retention(36_500.0, 10**9, 36_500.0)


def recorder_of(folder, retention=FOR_EVER):
    journal = Journal(folder / "journal", 10**9)
    store = Store(parse_store(f"sqlite:///{folder}/place/store.sqlite"))
    return Recorder(journal, store, KeptImages(folder / "images", None), retention)


def count(folder):
    store = Store(parse_store(f"sqlite:///{folder}/place/store.sqlite"))
    try:
        return store.count()
    finally:
        store.close()


def test_what_is_appended_is_in_the_store_soon_and_leaves_the_journal(tmp_path):
    recorder = recorder_of(tmp_path)
    recorder.start()
    recorder.append([record(0), record(1)], synced=False)
    wait_until(lambda: recorder.num_bytes == 0)
    assert count(tmp_path) == 2
    recorder.append([record(2), feedback(2, "dark", 1)], synced=True)
    recorder.stop()
    assert count(tmp_path) == 3 and not list((tmp_path / "journal").glob("*.log"))


def test_while_there_is_no_store_the_journal_keeps_all_for_the_next_start(tmp_path):
    (tmp_path / "place").write_text("in the way")
    recorder = recorder_of(tmp_path)
    recorder.start()
    for number in range(10):
        recorder.append([record(number)], synced=False)
    wait_until(lambda: recorder.is_behind)
    recorder.append([record(10)], synced=False)
    recorder.stop()
    assert recorder.num_failures >= 1
    (tmp_path / "place").unlink()
    recorder = recorder_of(tmp_path)
    recorder.start()
    wait_until(lambda: recorder.num_bytes == 0)
    recorder.stop()
    assert count(tmp_path) == 11 and not recorder.is_behind


def test_a_store_that_comes_back_is_found(tmp_path):
    (tmp_path / "place").write_text("in the way")
    recorder = recorder_of(tmp_path)
    recorder.start()
    recorder.append([record(0)], synced=False)
    wait_until(lambda: recorder.is_behind)
    (tmp_path / "place").unlink()
    wait_until(lambda: recorder.num_bytes == 0)
    assert not recorder.is_behind
    recorder.stop()


def test_a_segment_that_was_written_but_not_deleted_counts_once(tmp_path):
    recorder = recorder_of(tmp_path)
    recorder.append([record(0), record(1)], synced=False)
    recorder._journal.rotate()
    (segment,) = recorder._journal.closed()
    copy = segment.read_bytes()
    recorder.start()
    wait_until(lambda: recorder.num_bytes == 0)
    recorder.stop()
    segment.write_bytes(copy)
    recorder = recorder_of(tmp_path)
    recorder.start()
    recorder.stop()
    assert count(tmp_path) == 2 and not segment.exists()


def test_what_is_too_old_goes(tmp_path):
    images = KeptImages(tmp_path / "images", None)
    for name, age_days in (("old", 3), ("new", 1)):
        images.keep(name, b"x")
        moment = time.time() - age_days * 86_400
        os.utime(tmp_path / "images" / name, (moment, moment))
    now = datetime.now(UTC)
    ages = {0: timedelta(days=9), 1: timedelta(days=1), 2: timedelta(0)}
    kept = recorder_of(tmp_path)
    kept.start()
    kept.append(
        [record(n, predicted_at=to_micros(now - age)) for n, age in ages.items()], synced=False
    )
    kept.stop()
    recorder = recorder_of(tmp_path, Retention(5.0, 10**9, 2.0))
    recorder.start()
    wait_until(lambda: images.ids() == ["new"])
    recorder.stop()
    assert count(tmp_path) == 2
