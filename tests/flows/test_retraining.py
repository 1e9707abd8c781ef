"""The flow that drift starts, on a real store with kept images of which ingest's source is made."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from monitoring.images import KeptImages
from monitoring.store import Store, parse_store
from monitoring.tables import RETRAININGS
from tasks.artifacts.snapshots import load_snapshot
from tests.flows.conftest import dvc
from tests.flows.test_branch import git
from tests.monitoring.records import feedback, record
from tests.serving.champions import png

ROOT = Path(__file__).parents[2]
GRAPH = """
stages:
  ingest:
    cmd: cp data/production/manifest.csv taken
    params: [{snapshot.yaml: [name]}]
    outs: [taken]
  quality: {cmd: cp taken page, deps: [taken], outs: [page]}
"""
SOURCE = {"type": "manifest", "file": "data/production/manifest.csv"}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A graph of two stages with the project's params, in which two labels are enough."""
    sections = YAML(typ="safe").load(ROOT / "params.yaml")
    kept = {name: sections[name] for name in ("run", "ingest", "quality", "monitoring", "rollback")}
    kept["ingest"]["sources"]["production"] = SOURCE
    kept["retrain"] = {"min_new_labels": 2, "cooldown_hours": 1.0}
    YAML(typ="safe").dump(kept, tmp_path / "params.yaml")
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    (tmp_path / "snapshot.yaml").write_text("name: first\ntaken_at: null\n")
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    dvc(tmp_path, "init", "--quiet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.fixture
def store(checkout: Path):
    """Of two predictions the image was kept; one has a label."""
    store = Store(parse_store("sqlite:///runs/monitoring/store.sqlite"))
    store.add([record(0, kept="sample"), record(1, kept="abstained"), feedback(0, "dark", 1.0)])
    images = KeptImages(checkout / "runs/monitoring/images", None)
    for number in (0, 1):
        images.keep(f"{number:032x}", png(number))
    yield store
    store.close()


def test_labels_are_waited_for_and_then_taken_in_once(prefect_api, checkout, store):
    from flows.retraining import retraining

    assert retraining() == "ask for labels"
    assert not (checkout / "page").exists() and store.load(RETRAININGS) == []
    store.add([feedback(1, "light", 2.0)])
    assert retraining() == "retrain"
    labels = [line.split(",")[1] for line in (checkout / "page").read_text().splitlines()]
    assert labels == ["label", "dark", "light"]
    snapshot = load_snapshot(checkout / "snapshot.yaml")
    assert snapshot.name != "first" and snapshot.taken_at is not None
    assert len(store.load(RETRAININGS)) == 1
    assert retraining() == "cooling down"


def test_what_fails_does_not_cool_down(prefect_api, checkout, store):
    from flows.retraining import retraining
    from flows.run import FlowFailed

    store.add([feedback(1, "light", 2.0)])
    (checkout / "dvc.yaml").write_text(GRAPH.replace("cp taken page", "exit 3"))
    with pytest.raises(FlowFailed, match="stage 'quality'"):
        retraining()
    assert store.load(RETRAININGS) == []
