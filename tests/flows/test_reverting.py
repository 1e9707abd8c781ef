"""A rollback for those who see a page: of what they were shown, and beside nobody."""

import pytest

from flows.lock import checkout_lock
from flows.reverting import main
from tasks.artifacts.documents import save_json
from tasks.artifacts.registry import REGISTRY


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = {"version": 3, "sha256": "0" * 64, "classes": ["a"], "metrics": {}}
    save_json({"aliases": {"champion": 3}, "versions": [entry]}, tmp_path / REGISTRY)
    return tmp_path


def test_of_another_champion_nothing_is_done(checkout, capsys):
    before = (checkout / REGISTRY).read_bytes()
    assert main(["--of", "2"]) == 1
    assert "the champion is version 3, not 2; nothing was done" in capsys.readouterr().err
    assert (checkout / REGISTRY).read_bytes() == before


def test_beside_another_run_nothing_is_done(checkout, capsys):
    with checkout_lock(checkout, "training", 0, on_wait=print):
        assert main(["--of", "3"]) == 1
    assert "is in use by flow 'training'" in capsys.readouterr().err
