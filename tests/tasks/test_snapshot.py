"""The snapshot's name changes, and nothing else in params.yaml does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tasks.core.errors import ArtifactError, ParamsError
from tasks.snapshot import next_name, set_snapshot

ROOT = Path(__file__).parents[2]
TODAY = "2026-01-31"


@pytest.fixture
def params(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
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


def test_only_the_value_changes(params):
    before = params.read_text()
    assert set_snapshot(params.parent, "backfill-7", TODAY) == "backfill-7"
    after = params.read_text()
    current = YAML(typ="safe").load(before)["ingest"]["snapshot"]
    assert after == before.replace(f'"{current}"', '"backfill-7"', 1) != before


@pytest.mark.parametrize("value", ["first", "'first'", "2026-01-30", "7", '"fi\\x72st"'])
def test_any_way_of_writing_a_value_is_replaced(tmp_path, value):
    path = tmp_path / "params.yaml"
    text = "# ü\r\nrun: {snapshot: 1}\r\ningest: {a: 1, snapshot: %s}   # why\r\n"
    path.write_bytes((text % value).encode())
    set_snapshot(tmp_path, None, TODAY)
    assert path.read_bytes() == (text % f'"{TODAY}"').encode()


def test_a_date_stays_text_for_every_reader(params):
    set_snapshot(params.parent, None, TODAY)
    assert YAML(typ="safe").load(params)["ingest"]["snapshot"] == TODAY
    assert set_snapshot(params.parent, None, TODAY) == f"{TODAY}.2"
    assert set_snapshot(params.parent, "7", TODAY) == "7"
    assert YAML(typ="safe").load(params)["ingest"]["snapshot"] == "7"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "a\n", '"', "$(date)"])
def test_a_name_of_other_characters_is_refused_and_nothing_written(params, name):
    before = params.read_bytes()
    with pytest.raises(ParamsError, match="expected letters, digits"):
        set_snapshot(params.parent, name, TODAY)
    assert params.read_bytes() == before
    assert list(params.parent.iterdir()) == [params]


@pytest.mark.parametrize(
    "text", ["", "ingest:\n", "ingest: [1]\n", "ingest: {snapshot: }", "run: {}\n", "a: [", "\x00"]
)
def test_a_file_without_a_place_for_it_is_refused(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"expected a value at ingest\.snapshot"):
        set_snapshot(tmp_path, "x", TODAY)
    assert path.read_text() == text


def test_what_was_measured_is_kept_as_of_the_snapshot_before(params):
    measured = params.parent / "metrics/quality.json"
    previous = params.parent / "metrics/previous/quality.json"
    set_snapshot(params.parent, None, TODAY)
    assert not previous.exists(), "nothing was measured yet"
    measured.parent.mkdir()
    measured.write_text('{"num_leaks": 3}')
    set_snapshot(params.parent, None, TODAY)
    assert json.loads(previous.read_text()) == {"quality": {"num_leaks": 3}}
    measured.write_text('{"num_leaks": 4}')
    with pytest.raises(ParamsError):
        set_snapshot(params.parent, "a b", TODAY)
    assert json.loads(previous.read_text()) == {"quality": {"num_leaks": 3}}
    set_snapshot(params.parent, None, TODAY)
    assert json.loads(previous.read_text()) == {"quality": {"num_leaks": 4}}


def test_a_torn_measurement_is_refused_and_nothing_written(params):
    before = params.read_bytes()
    (params.parent / "metrics").mkdir()
    (params.parent / "metrics/quality.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"quality\.json: is not valid JSON"):
        set_snapshot(params.parent, "next", TODAY)
    assert params.read_bytes() == before


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        set_snapshot(tmp_path, "x", TODAY)


def test_the_command_says_what_it_set_or_why_not(params):
    command = [sys.executable, "-m", "tasks.snapshot"]
    options = {"cwd": params.parent, "env": {"PYTHONPATH": str(ROOT)}, "text": True}
    good = subprocess.run([*command, "nightly"], capture_output=True, **options)
    assert (good.returncode, good.stdout) == (0, "snapshot nightly\n")
    bad = subprocess.run([*command, "a b"], capture_output=True, **options)
    assert bad.returncode == 2 and bad.stderr.startswith("snapshot 'a b': expected")
    assert "nightly" in params.read_text()
