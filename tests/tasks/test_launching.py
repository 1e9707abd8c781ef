"""What the machine is told by the environment."""

from functools import partial

import pytest
import torch

from tasks.core.errors import ParamsError
from tasks.launching import asked_workers, checkpoint_pause

CPU = torch.device("cpu")


def test_what_the_machine_is_told(monkeypatch):
    monkeypatch.setenv("TILTH_WORKERS", "3")
    monkeypatch.setenv("TILTH_CHECKPOINT_SECONDS", "0.5")
    assert (asked_workers(CPU, True), checkpoint_pause()) == (3, 0.5)
    monkeypatch.delenv("TILTH_WORKERS")
    monkeypatch.delenv("TILTH_CHECKPOINT_SECONDS")
    assert (asked_workers(CPU, True), checkpoint_pause()) == (0, 60.0)


def test_a_gpu_is_fed_by_the_cores_to_spare(monkeypatch):
    monkeypatch.delenv("TILTH_WORKERS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)))
    gpu = torch.device("cuda")
    assert [asked_workers(gpu, reads_images) for reads_images in (True, False)] == [5, 0]


@pytest.mark.parametrize(
    ("name", "told", "read"),
    [
        ("TILTH_WORKERS", "-1", partial(asked_workers, CPU, True)),
        ("TILTH_WORKERS", "two", partial(asked_workers, CPU, True)),
        ("TILTH_CHECKPOINT_SECONDS", "-3", checkpoint_pause),
        ("TILTH_CHECKPOINT_SECONDS", "nan", checkpoint_pause),
        ("TILTH_CHECKPOINT_SECONDS", "soon", checkpoint_pause),
    ],
)
def test_what_the_machine_is_told_wrongly_is_refused(monkeypatch, name, told, read):
    monkeypatch.setenv(name, told)
    with pytest.raises(ParamsError, match=name):
        read()
