"""What the machine is told by the environment."""

import pytest

from tasks.core.errors import ParamsError
from tasks.launching import asked_workers, checkpoint_pause


def test_what_the_machine_is_told(monkeypatch):
    monkeypatch.setenv("TILTH_WORKERS", "3")
    monkeypatch.setenv("TILTH_CHECKPOINT_SECONDS", "0.5")
    assert (asked_workers(), checkpoint_pause()) == (3, 0.5)
    monkeypatch.delenv("TILTH_WORKERS")
    monkeypatch.delenv("TILTH_CHECKPOINT_SECONDS")
    assert (asked_workers(), checkpoint_pause()) == (0, 60.0)


@pytest.mark.parametrize(
    ("name", "told", "read"),
    [
        ("TILTH_WORKERS", "-1", asked_workers),
        ("TILTH_WORKERS", "two", asked_workers),
        ("TILTH_CHECKPOINT_SECONDS", "-3", checkpoint_pause),
        ("TILTH_CHECKPOINT_SECONDS", "nan", checkpoint_pause),
        ("TILTH_CHECKPOINT_SECONDS", "soon", checkpoint_pause),
    ],
)
def test_what_the_machine_is_told_wrongly_is_refused(monkeypatch, name, told, read):
    monkeypatch.setenv(name, told)
    with pytest.raises(ParamsError, match=name):
        read()
