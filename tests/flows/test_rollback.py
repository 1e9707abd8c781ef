"""The flow on duty goes back to the previous model: real git, real DVC, a real store."""

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from monitoring.images import KeptImages
from monitoring.store import Store, parse_store
from monitoring.tables import DELIVERIES
from tasks.artifacts.documents import load_yaml
from tasks.artifacts.registry import Registry, Version, load_registry, save_registry
from tests.flows.conftest import dvc
from tests.flows.test_branch import git
from tests.monitoring.records import feedback, record
from tests.monitoring.test_duty import ALERTS
from tests.monitoring.test_shadow import BAD, GOOD, PARAMS
from tests.serving.champions import png

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of `production` in which the second version, a bad one, is the champion."""
    root = tmp_path / "clone"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copy(ROOT / ".gitignore", root)
    rollback = PARAMS.model_copy(update={"days": 36_500.0}).model_dump()
    (root / "params.yaml").write_text(json.dumps({"rollback": rollback}))
    (root / "alerts.yaml").write_text(ALERTS)
    (root / "dvc.yaml").write_text("stages: {}\n")
    git(root, "init", "--quiet", "--initial-branch=production")
    dvc(root, "init", "--quiet")
    registry = Registry()
    for number, model in enumerate((GOOD, BAD), start=1):
        folder = root / "models/champion"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "classifier.onnx").write_bytes(model)
        dvc(root, "add", "--quiet", "models/champion")
        registry = registry.with_champion(
            Version(
                version=number,
                sha256="0",
                onnx_sha256=sha256(model).hexdigest(),
                md5=load_yaml(root / "models/champion.dvc")["outs"][0]["md5"],
                classes=["dark", "light"],
                metrics={},
            )
        )
        save_registry(registry, root / "models/registry.json")
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "-m", f"Publish {number}")
    git(tmp_path, "clone", "--quiet", "--bare", str(root), str(tmp_path / "remote.git"))
    git(root, "remote", "add", "origin", str(tmp_path / "remote.git"))
    return root


def fill(store: Store, folder: Path, count: int) -> None:
    told: dict[str, Any] = {
        "model_sha256": sha256(BAD).hexdigest(),
        "predicted": "light",
        "kept": "sample",
    }
    images = KeptImages(folder, None)
    store.add([record(number, **told) for number in range(count)])
    store.add([feedback(number, "dark", 9.0) for number in range(count)])
    for number in range(count):
        images.keep(f"{number:032x}", png(number))


def test_a_worse_champion_is_rolled_back_pushed_and_told(prefect_api, checkout, tmp_path):
    from prefect import flow

    from flows.run import beside
    from flows.watching import reconsider

    @flow(persist_result=False)
    def duty():
        with beside("duty") as held:
            reconsider(held, 0.0)

    store = Store(parse_store("sqlite:///runs/monitoring/store.sqlite"))
    for count, champion in ((19, 2), (25, 1), (25, 1)):
        fill(store, checkout / "runs/monitoring/images", count)
        duty()
        registry = load_registry(checkout / "models/registry.json")
        assert registry.aliases.champion == champion
    assert (checkout / "models/champion/classifier.onnx").read_bytes() == GOOD
    subject = "Roll back from model version 2 to 1"
    assert git(tmp_path / "remote.git", "log", "-1", "--format=%s", "production") == subject
    alerts = [json.loads(row["document"]) for row in store.load(DELIVERIES)]
    assert sorted(alert["state"] for alert in alerts) == ["firing", "resolved"]
    assert git(checkout, "status", "--porcelain") == ""
    store.close()
