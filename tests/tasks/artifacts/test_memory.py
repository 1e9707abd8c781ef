"""What is remembered is found again by content and arguments, and nothing else is."""

from pathlib import Path

import pytest

from tasks.artifacts.memory import Memory, link


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_place_hangs_on_shard_arguments_and_stage_alone():
    shard = Path("data/raw/abc.parquet")
    place = Memory("validate", ".npy", 1, "x").path(shard, [3])
    assert place == Memory("validate", ".npy", 1, "x").path(Path("elsewhere/abc.parquet"), [3])
    others = [
        Memory("validate", ".npy", 1, "x").path(Path("abx.parquet"), [3]),
        Memory("validate", ".npy", 2, "x").path(shard, [3]),
        Memory("validate", ".npy", 1, "x").path(shard, [4]),
        Memory("validate", ".npy", 1, "x").path(shard),
        Memory("clean", ".npy", 1, "x").path(shard, [3]),
        Memory("validate", ".parquet", 1, "x").path(shard, [3]),
    ]
    assert len({place, *others}) == 7
    assert place.parts[:2] == (".cache", "validate") and place.suffix == ".npy"


def test_what_no_shard_needs_is_deleted_and_the_rest_kept():
    memory = Memory("clean", ".npy")
    kept, old = memory.path(Path("a.parquet")), memory.path(Path("b.parquet"))
    memory.keep_only(set())
    for path in (kept, old, kept.with_name("other.parquet")):
        path.write_bytes(b"x")
    memory.keep_only({kept})
    assert sorted(kept.parent.iterdir()) == sorted([kept, kept.with_name("other.parquet")])


def test_a_link_shows_the_same_bytes_and_outlives_what_it_was_made_from(tmp_path):
    remembered = tmp_path / "remembered"
    remembered.write_bytes(b"bytes")
    link(remembered, tmp_path / "second")
    remembered.unlink()
    assert (tmp_path / "second").read_bytes() == b"bytes"


def test_where_links_cannot_be_made_the_bytes_are_copied(tmp_path):
    remembered = tmp_path / "remembered"
    remembered.write_bytes(b"new")
    # A name that is taken refuses a link as another file system would.
    (tmp_path / "second").write_bytes(b"old")
    link(remembered, tmp_path / "second")
    assert (tmp_path / "second").read_bytes() == b"new"
