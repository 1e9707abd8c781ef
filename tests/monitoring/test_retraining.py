"""When a model is trained again: what is counted as new, and what is decided of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitoring.images import KeptImages
from monitoring.params import Retrain
from monitoring.retraining import Decision, Situation, consider, decide, look, note_begin
from monitoring.store import Store, parse_store
from tasks.artifacts.registry import Aliases, Registry, Version, save_registry
from tasks.core.errors import ParamsError
from tests.monitoring.records import START, feedback, record

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
FOLDER = Path("data/production")
SECTIONS = """
ingest: {sources: {production: {type: manifest, file: data/production/manifest.csv}}}
retrain: {min_new_labels: 2, cooldown_hours: 1.0}
"""
PARAMS = Retrain(min_new_labels=3, cooldown_hours=48.0)


def decided(num_new: int, hours_ago: float | None = None) -> Decision:
    begun_at = None if hours_ago is None else NOW - timedelta(hours=hours_ago)
    return decide(Situation(FOLDER, num_new, 7, begun_at), PARAMS, NOW)


@pytest.mark.parametrize(
    ("num_new", "hours_ago", "action"),
    [
        (3, None, "retrain"),
        (3, 48.0, "retrain"),
        (3, 47.9, "cooling down"),
        (9, 1.0, "cooling down"),
        (2, None, "ask for labels"),
        # Even while it cools down labels are what is missing.
        (0, 1.0, "ask for labels"),
    ],
)
def test_labels_come_first_and_then_patience(num_new, hours_ago, action):
    assert decided(num_new, hours_ago).action == action


def test_each_decision_says_what_people_can_do():
    asked = decided(1).said
    assert "2 more labels (1 of 3" in asked and "7 kept images wait" in asked
    assert "--out data/production" in asked and "POST /feedback" in asked
    assert "none begins before 2026-03-03 05:00 UTC" in decided(3, 1.0).said
    assert decided(5).said == "begins, with 5 new labels"


@pytest.fixture
def store(tmp_path: Path):
    """Kept images 0 to 4, of which the last lost its file; the first four have labels, told at
    seconds 10 to 13, and so has number 5, which was not kept."""
    store = Store(parse_store(f"sqlite:///{tmp_path}/store.sqlite"))
    images = KeptImages(tmp_path / "images", None)
    records = [record(number, kept="sample") for number in range(4)]
    records += [record(4, kept="abstained"), record(5), record(6, kept="abstained")]
    store.add(
        [*records, *(feedback(number, "dark", 10.0 + number) for number in (0, 1, 2, 3, 4, 5))]
    )
    for number in (0, 1, 2, 3, 6):
        images.keep(f"{number:032x}", b"pixels")
    yield store
    store.close()


def test_new_is_what_was_told_since_and_can_be_taken_in(store, tmp_path):
    images = tmp_path / "images"
    assert look(store, images, FOLDER, None) == Situation(FOLDER, 4, 1, None)
    moment = (START + timedelta(seconds=11)).isoformat()
    assert look(store, images, FOLDER, moment).num_new == 2
    assert look(store, tmp_path / "none", None, None) == Situation(None, 0, 0, None)


def test_of_the_champion_and_the_last_beginning(store, tmp_path, monkeypatch):
    monkeypatch.setenv("TILTH_SERVE_FOLDER", str(tmp_path))
    params = tmp_path / "params.yaml"
    params.write_text(SECTIONS)
    registry = tmp_path / "registry.json"
    assert consider(store, registry, params, NOW).action == "retrain"
    for seconds, action in ((11, "retrain"), (12, "ask for labels")):
        taken_at = (START + timedelta(seconds=seconds)).isoformat()
        version = Version(version=1, sha256="0", classes=["a"], metrics={}, taken_at=taken_at)
        save_registry(Registry(aliases=Aliases(champion=1), versions=[version]), registry)
        assert consider(store, registry, params, NOW).action == action
    registry.unlink()
    note_begin(store, consider(store, registry, params, NOW), NOW)
    soon = NOW + timedelta(minutes=59)
    assert consider(store, registry, params, soon).action == "cooling down"
    assert consider(store, registry, params, NOW + timedelta(hours=1)).action == "retrain"


@pytest.mark.parametrize("sources", ["{}", "{production: {type: folder, root: data/production}}"])
def test_labels_that_nobody_takes_in_begin_nothing(store, tmp_path, monkeypatch, sources):
    monkeypatch.setenv("TILTH_SERVE_FOLDER", str(tmp_path))
    params = tmp_path / "params.yaml"
    retrain = "retrain: {min_new_labels: 1, cooldown_hours: 0.0}"
    params.write_text(f"ingest: {{sources: {sources}}}\n{retrain}\n")
    decision = consider(store, tmp_path / "registry.json", params, NOW)
    assert decision.action == "no source" and "ingest.sources" in decision.said


def test_a_section_with_a_mistake_is_told(store, tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("retrain: {min_new_labels: 0, cooldown_hours: 1.0}\n")
    with pytest.raises(ParamsError, match=r"retrain\.min_new_labels"):
        consider(store, tmp_path / "registry.json", params, NOW)
