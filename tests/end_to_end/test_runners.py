"""One graph, two runners: what DVC alone leaves, Prefect leaves to the byte."""

import pytest

from tests.end_to_end.checkout import Checkout, succeeded


@pytest.mark.slow
def test_the_flow_leaves_what_dvc_leaves(finished: Checkout, bare: Checkout) -> None:
    said = succeeded(bare.module("flows.training", "--no-publish"))
    succeeded(bare.module("flows.data"))
    assert "Traceback" not in said
    assert bare.lock() == finished.lock()
    assert bare.contents("metrics") == finished.contents("metrics")
    assert "up to date" in bare.dvc("status")
    head = bare.git("log", "--format=%s").splitlines()
    assert head == ["Begin"]
    assert not (bare.root / "models/champion.dvc").exists()


@pytest.mark.slow
def test_the_flow_on_what_dvc_left_runs_nothing_and_publishes(copy: Checkout) -> None:
    before = copy.lock()
    said = succeeded(copy.module("flows.training"))
    assert "Running stage" not in said
    assert copy.lock() == before
    assert copy.git("log", "-1", "--format=%s") == "Publish model version 1\n"
    assert "published version 1" in said
