"""The snapshot's name changes in a file of its own, and nothing else does."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tasks.artifacts.snapshots import load_snapshot
from tasks.core.errors import ArtifactError, ParamsError
from tasks.snapshot import next_name, set_snapshot

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 31, 3, 0, 7, 5, tzinfo=UTC)
TODAY = "2026-01-31"


@pytest.fixture
def snapshot(tmp_path):
    path = tmp_path / "snapshot.yaml"
    path.write_bytes((ROOT / "snapshot.yaml").read_bytes())
    return path


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ("first", TODAY),
        ("2026-01-30", TODAY),
        ("2026-01-30.4", TODAY),
        ("2026-01-310", TODAY),
        (TODAY, f"{TODAY}.2"),
        (f"{TODAY}.2", f"{TODAY}.3"),
        (f"{TODAY}.9", f"{TODAY}.10"),
        (f"{TODAY}.backfill", TODAY),
    ],
)
def test_next_name_is_new_and_dated(current, expected):
    assert next_name(TODAY, current) == expected


def test_name_and_moment_are_set_and_stay_text_for_every_reader(snapshot):
    assert load_snapshot(snapshot).taken_at is None
    assert set_snapshot(snapshot.parent, None, NOW) == TODAY
    assert YAML(typ="safe").load(snapshot) == {
        "name": TODAY,
        "taken_at": "2026-01-31T03:00:07+00:00",
    }
    assert set_snapshot(snapshot.parent, None, NOW) == f"{TODAY}.2"
    assert set_snapshot(snapshot.parent, "7", NOW) == "7"
    assert YAML(typ="safe").load(snapshot)["name"] == "7"


def test_the_file_is_written_as_the_project_has_it(snapshot):
    before = snapshot.read_text()
    set_snapshot(snapshot.parent, "first", NOW)
    head = before[: before.index("taken_at: ")]
    assert snapshot.read_text() == f'{head}taken_at: "2026-01-31T03:00:07+00:00"\n'


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "a\n", '"', "$(date)"])
def test_a_name_of_other_characters_is_refused_and_nothing_written(snapshot, name):
    before = snapshot.read_bytes()
    with pytest.raises(ParamsError, match="expected letters, digits"):
        set_snapshot(snapshot.parent, name, NOW)
    assert snapshot.read_bytes() == before
    assert list(snapshot.parent.iterdir()) == [snapshot]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "snapshot: "),
        ("name: [1]\ntaken_at: null\n", "snapshot.name: "),
        ("name: a\n", "snapshot.taken_at: Field required"),
        ("name: a\ntaken_at: '2026-01-31T03:00'\n", "names no time zone"),
        ("name: a\ntaken_at: yesterday\n", "snapshot.taken_at: "),
        ("name: a\ntaken_at: null\nmore: 1\n", "snapshot.more: Extra inputs"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path, text, told):
    path = tmp_path / "snapshot.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError) as raised:
        set_snapshot(tmp_path, "x", NOW)
    assert told in str(raised.value)
    assert path.read_text() == text


def test_what_was_measured_is_kept_as_of_the_snapshot_before(snapshot):
    measured = snapshot.parent / "metrics/quality.json"
    previous = snapshot.parent / "metrics/previous/quality.json"
    set_snapshot(snapshot.parent, None, NOW)
    assert not previous.exists(), "nothing was measured yet"
    measured.parent.mkdir()
    measured.write_text('{"num_leaks": 3}')
    set_snapshot(snapshot.parent, None, NOW)
    assert json.loads(previous.read_text()) == {"quality": {"num_leaks": 3}}
    measured.write_text('{"num_leaks": 4}')
    with pytest.raises(ParamsError):
        set_snapshot(snapshot.parent, "a b", NOW)
    assert json.loads(previous.read_text()) == {"quality": {"num_leaks": 3}}
    set_snapshot(snapshot.parent, None, NOW)
    assert json.loads(previous.read_text()) == {"quality": {"num_leaks": 4}}


def test_a_torn_measurement_is_refused_and_nothing_written(snapshot):
    before = snapshot.read_bytes()
    (snapshot.parent / "metrics").mkdir()
    (snapshot.parent / "metrics/quality.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"quality\.json: is not valid JSON"):
        set_snapshot(snapshot.parent, "next", NOW)
    assert snapshot.read_bytes() == before


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"snapshot\.yaml"):
        set_snapshot(tmp_path, "x", NOW)


def test_the_command_says_what_it_set_or_why_not(snapshot):
    command = [sys.executable, "-m", "tasks.snapshot"]
    options = {"cwd": snapshot.parent, "env": {"PYTHONPATH": str(ROOT)}, "text": True}
    good = subprocess.run([*command, "nightly"], capture_output=True, **options)
    assert (good.returncode, good.stdout) == (0, "snapshot nightly\n")
    bad = subprocess.run([*command, "a b"], capture_output=True, **options)
    assert bad.returncode == 2 and bad.stderr.startswith("snapshot 'a b': expected")
    assert "nightly" in snapshot.read_text()
