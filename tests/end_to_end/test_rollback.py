"""Publishing and rolling back, killed at each step and run again: champion, registry and commit
agree, and no champion is lost."""

import json
import sys
from pathlib import Path

import pytest

from tests.end_to_end.checkout import Checkout, refused, succeeded
from tests.end_to_end.conftest import Copy

KILLED_AT = str(Path(__file__).with_name("killed_at.py"))
CHAMPION = ("models/champion", "models/champion.dvc", "models/registry.json")
PUBLISH = ("_check_servable", "_set_champion", "record_champion", "save_registry", "commit")
ROLLBACK = ("restore", "record_champion", "save_registry", "commit")


@pytest.fixture(scope="module")
def candidate(copy_at: Copy, finished: Checkout) -> Checkout:
    """A checkout with a champion, and a candidate that may take its place; not to be changed."""
    checkout = copy_at(finished)
    succeeded(checkout.module("tasks.publish"))
    checkout.set_params({"finetune.epochs": 3, "finetune.optimiser.learning_rate": 0.002})
    checkout.dvc("repro", "promote")
    judged = json.loads((checkout.root / "metrics/promote.json").read_text())
    assert judged["verdict"] == "pass", judged["reasons"]
    assert {rule["kind"] for rule in judged["rules"]} == {
        *("value", "change", "slice", "robustness", "cost", "data")
    }
    return checkout


@pytest.fixture(scope="module")
def second(copy_at: Copy, candidate: Checkout) -> Checkout:
    """A checkout whose second version is the champion; not to be changed."""
    checkout = copy_at(candidate)
    assert succeeded(checkout.module("tasks.publish")) == "published version 2\n"
    return checkout


def kill(checkout: Checkout, module: str, function: str) -> None:
    ended = checkout.run(sys.executable, KILLED_AT, module, function)
    assert ended.status == -9, ended.said
    checkout.await_nobody()


def aliases(checkout: Checkout) -> dict[str, int | None]:
    return json.loads((checkout.root / "models/registry.json").read_text())["aliases"]


def check_agreement(checkout: Checkout, champion: dict[str, bytes]) -> None:
    """Folder, registry, DVC's record and the last commit are of one mind."""
    assert checkout.contents("models/champion") == champion
    registry = json.loads((checkout.root / "models/registry.json").read_text())
    number = registry["aliases"]["champion"]
    (entry,) = (one for one in registry["versions"] if one["version"] == number)
    assert checkout.load_yaml("models/champion.dvc")["outs"][0]["md5"] == entry["md5"]
    assert json.loads(checkout.git("show", "HEAD:models/registry.json")) == registry
    assert checkout.git("status", "--porcelain") == ""
    assert "up to date" in checkout.dvc("status", "models/champion.dvc")


def test_rollback_restores_the_bytes_of_the_champion_before(
    copy_at: Copy, candidate: Checkout, second: Checkout
) -> None:
    checkout = copy_at(second)
    said = succeeded(checkout.module("tasks.rollback"))
    assert said == "version 1 is the champion again, in place of 2\n"
    check_agreement(checkout, candidate.contents("models/champion"))
    assert aliases(checkout) == {"champion": 1, "previous": 2}
    head = checkout.git("rev-parse", "HEAD")
    checkout.dvc("repro", "promote")
    assert "version 2 was rolled back" in succeeded(checkout.module("tasks.publish"))
    assert (checkout.git("rev-parse", "HEAD"), aliases(checkout)["champion"]) == (head, 1)
    assert "published version 2" in succeeded(checkout.module("tasks.publish", "--again"))
    check_agreement(checkout, second.contents("models/champion"))


def test_without_a_version_before_there_is_no_way_back(
    copy_at: Copy, finished: Checkout, candidate: Checkout
) -> None:
    refused(copy_at(finished).module("tasks.rollback"), "ArtifactError")
    checkout = copy_at(candidate)
    before = checkout.contents(*CHAMPION)
    refused(checkout.module("tasks.rollback"), "knows no previous version")
    assert checkout.contents(*CHAMPION) == before


@pytest.mark.slow
@pytest.mark.parametrize("function", PUBLISH)
def test_a_publication_killed_at_any_step_is_completed(
    copy_at: Copy, candidate: Checkout, second: Checkout, function: str
) -> None:
    checkout = copy_at(candidate)
    kill(checkout, "tasks.publish", function)
    left = checkout.contents("models/champion")
    assert left in [one.contents("models/champion") for one in (candidate, second)]
    assert "version 2" in succeeded(checkout.module("tasks.publish"))
    check_agreement(checkout, second.contents("models/champion"))
    assert aliases(checkout) == {"champion": 2, "previous": 1}


@pytest.mark.slow
@pytest.mark.parametrize("function", ROLLBACK)
def test_a_rollback_killed_at_any_step_is_completed(
    copy_at: Copy, candidate: Checkout, second: Checkout, function: str
) -> None:
    checkout = copy_at(second)
    kill(checkout, "tasks.rollback", function)
    if function != "commit":
        assert "version 1 is the champion again" in succeeded(checkout.module("tasks.rollback"))
    check_agreement(checkout, candidate.contents("models/champion"))
    assert aliases(checkout) == {"champion": 1, "previous": 2}


def test_a_model_that_is_not_the_one_judged_or_too_slow_is_not_published(
    copy_at: Copy, candidate: Checkout
) -> None:
    checkout = copy_at(candidate)
    before = checkout.contents(*CHAMPION)
    onnx = checkout.root / "models/classifier.onnx"
    whole = onnx.read_bytes()
    onnx.write_bytes(whole[:-500])
    refused(checkout.module("tasks.publish"), "VerdictError: models/classifier.onnx: cannot be")
    checkout.set_params({"promote.servable.timeout_seconds": 0.01})
    onnx.write_bytes(whole)
    refused(checkout.module("tasks.publish"), "promote.servable.timeout_seconds")
    slow = {"max_latency_ms": 0.00001, "timeout_seconds": 60.0}
    checkout.set_params({"promote.servable": slow})
    refused(checkout.module("tasks.publish"), "promote.servable.max_latency_ms allows")
    assert checkout.contents(*CHAMPION) == before
