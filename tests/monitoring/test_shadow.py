"""The champion beside the model before it: an exact test, on rows that nobody picked."""

import json
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from monitoring.images import KeptImages
from monitoring.params import Rollback
from monitoring.shadow import ask_again, compare, judge, main, way_back
from monitoring.store import Store, parse_store
from monitoring.tables import DELIVERIES
from tasks.artifacts.registry import Aliases, Registry, Version, save_registry
from tests.monitoring.records import START, feedback, record
from tests.monitoring.test_duty import ALERTS
from tests.serving.champions import make_onnx, png

PARAMS = Rollback(days=7.0, min_rows=20, min_labelled_fraction=0.5, alpha=0.01)
GOOD, BAD = make_onnx(), make_onnx(slope=-1.0)
NOW = START + timedelta(days=1)


def rows(lost: int, won: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether champion and previous model are right."""
    champion = [False] * lost + [True] * won + [True] * both
    previous = [True] * lost + [False] * won + [True] * both
    return np.array(champion, bool), np.array(previous, bool)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (9, 0), (12, 1), (15, 9), (3, 30)])
def test_the_p_value_is_the_binomial_tail(lost, won):
    judged = judge(*rows(lost, won, 50), 59, PARAMS)
    tail = sum(binom.pmf(k, lost + won, 0.5) for k in range(lost, lost + won + 1))
    assert judged.p_value == pytest.approx(tail)
    assert (judged.num_lost, judged.num_won) == (lost, won)
    assert judged.verdict == ("worse" if tail <= 0.01 else "not worse")


@pytest.mark.parametrize(
    ("both", "num_sampled", "verdict"),
    [
        (10, 20, "worse"),
        (9, 19, "too few"),
        (10, 40, "worse"),
        (10, 41, "too few"),
        (0, 0, "too few"),
    ],
)
def test_few_labels_or_few_of_the_sample_say_nothing(both, num_sampled, verdict):
    lost = 10 if num_sampled else 0
    assert judge(*rows(lost, 0, both), num_sampled, PARAMS).verdict == verdict


def test_a_champion_that_is_no_worse_is_seldom_called_worse():
    rng = np.random.default_rng(0)
    draws = [(rng.random((2, 300)) < 0.9) for _ in range(2000)]
    called = sum(judge(a, b, 300, PARAMS).verdict == "worse" for a, b in draws)
    assert called / 2000 <= PARAMS.alpha
    worse = [(rng.random(300) < 0.8, rng.random(300) < 0.95) for _ in range(200)]
    assert sum(judge(a, b, 300, PARAMS).verdict == "worse" for a, b in worse) > 190


def test_a_model_is_asked_as_the_service_asks_it():
    files = [(png(shade), f"{shade}.png") for shade in (10, 240)]
    assert ask_again(GOOD, [files[0], (b"broken", "x"), files[1]]) == ["dark", None, "light"]
    assert ask_again(BAD, files * 40) == ["light", "dark"] * 40
    assert ask_again(GOOD, []) == [] and ask_again(GOOD, [(b"broken", "x")]) == [None]


def a_version(number: int, model: bytes, **changed: Any) -> Version:
    return Version(version=number, sha256="0", onnx_sha256=sha256(model).hexdigest(),
                   classes=["dark", "light"], metrics={}, **changed)  # fmt: skip


PAIR = a_version(2, BAD), a_version(1, GOOD)


def test_without_a_way_back_there_is_none():
    def registry(previous: int | None, **changed: Any) -> Registry:
        versions = [a_version(1, GOOD, **changed), a_version(2, BAD)]
        return Registry(aliases=Aliases(champion=2, previous=previous), versions=versions)

    assert way_back(registry(1)) == PAIR
    assert way_back(registry(None)) is way_back(Registry()) is None
    assert way_back(registry(1, rolled_back=True)) is None


def fill(store: Store, images: KeptImages, count: int, **changed: Any) -> None:
    """Dark images that the champion takes for light ones, with their true labels."""
    told = {"model_sha256": PAIR[0].onnx_sha256, "predicted": "light", "kept": "sample"}
    numbers = range(store.count(), store.count() + count)
    store.add([record(number, **{**told, **changed}) for number in numbers])
    store.add([feedback(number, "dark", 9.0) for number in numbers])
    for number in numbers:
        images.keep(f"{number:032x}", png(number % 100))


@pytest.fixture
def store(tmp_path: Path):
    store = Store(parse_store(f"sqlite:///{tmp_path}/store.sqlite"))
    yield store
    store.close()


def test_only_what_was_drawn_by_chance_of_this_champion_counts(store, tmp_path):
    images = KeptImages(tmp_path / "images", None)
    fill(store, images, 7, kept="abstained")
    fill(store, images, 7, model_sha256="ab" * 32)
    fill(store, images, 7, seconds=-9e5)
    fill(store, images, 7, refused="unreadable", kept="")
    assert compare(store, images, PAIR, GOOD, PARAMS, NOW)["num_sampled"] == 0
    fill(store, images, 19)
    document = compare(store, images, PAIR, GOOD, PARAMS, NOW)
    assert (document["num_rows"], document["num_lost"]) == (19, 19)
    assert document["verdict"] == "too few" and "20 are asked for" in document["said"]
    fill(store, images, 1)
    document = compare(store, images, PAIR, GOOD, PARAMS, NOW)
    assert (document["verdict"], document["num_lost"]) == ("worse", 20)
    assert compare(store, images, PAIR, BAD, PARAMS, NOW)["verdict"] == "not worse"
    images.delete_old(-1.0)
    document = compare(store, images, PAIR, GOOD, PARAMS, NOW)
    assert (document["verdict"], document["num_sampled"]) == ("too few", 20)


def test_the_command_tells_people_once_that_the_champion_is_worse(
    store, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TILTH_SERVE_FOLDER", str(tmp_path))
    params = json.dumps({"rollback": PARAMS.model_copy(update={"days": 36_500.0}).model_dump()})
    Path("params.yaml").write_text(params)
    Path("alerts.yaml").write_text(ALERTS)
    Path("classifier.onnx").write_bytes(GOOD)
    registry = tmp_path / "models/registry.json"
    asked = [
        "--previous",
        ".",
        "--out",
        "shadow.json",
        "--store",
        f"sqlite:///{tmp_path}/store.sqlite",
    ]
    assert main(asked) == 0
    assert "no previous version" in capsys.readouterr().out
    versions = Registry(aliases=Aliases(champion=2, previous=1), versions=list(PAIR))
    save_registry(versions, registry)
    fill(store, KeptImages(tmp_path / "images", None), 30)
    for _ in range(2):
        assert main(asked) == 0
    assert capsys.readouterr().out.count("worse: of 30 labelled rows") == 2
    (delivery,) = store.load(DELIVERIES)
    alert = json.loads(delivery["document"])
    assert alert["title"] == "Version 2 is worse than version 1, which is brought back"
    Path("classifier.onnx").write_bytes(b"none")
    assert main(asked) == 2
    assert "ArtifactError" in capsys.readouterr().err
