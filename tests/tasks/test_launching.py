"""What the machine is told by the environment, and in which memory format a net computes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tasks.core.encoder import Classifier, Encoder
from tasks.core.errors import ParamsError
from tasks.core.inference import Place
from tasks.launching import asked_workers, checkpoint_pause, launch, prepare
from tasks.lesson import Course
from tests.nets import FAMILIES, tiny

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


NETS = {name: FAMILIES[name] for name in ("plain", "residual", "dense", "resnet18", "resnet50")} | {
    "excited": tiny(width=8, attention="squeeze_excitation", normalisation="group"),
    "unnormed": tiny(width=8, connectivity="dense", normalisation="none"),
    "attentive": tiny(width=8, attention="self_attention"),
}


@pytest.mark.parametrize("name", NETS)
def test_a_net_keeps_the_memory_format_forth_and_back(name):
    """A layer that lost it would slow all layers after it, or all before it by its gradient."""
    torch.manual_seed(0)
    net: Any = Classifier(Encoder(NETS[name], [0.5] * 3, [0.2] * 3, 16), 3, 0.0)
    seen: list[tuple[str, str, bool]] = []

    def see(part: str, what: str, x_NCHW: Tensor) -> None:
        seen.append((part, what, x_NCHW.is_contiguous(memory_format=torch.channels_last)))

    def listen(part: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hear(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if output.ndim == 4:
                see(part, "output", output)
                # The mean over places has a gradient of no format, which attention adds to its own.
                if isinstance(module, nn.Conv2d) and not part.startswith("attention"):
                    output.register_hook(lambda gradient: see(part, "gradient", gradient))

        return hear

    for part, module in net.encoder.net.named_modules():
        module.register_forward_hook(listen(part))
    course = Course("pretrain", 1, 4, 1, None, None, False, seed=0, num_workers=0)
    outcome_of = prepare(launch(Place(torch.device("cpu"), "float32")).fabric, net, course)
    images = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    outcome_of(images).square().sum().backward()
    assert [(part, what) for part, what, is_kept in seen if not is_kept] == []
    assert {what for _, what, _ in seen} == {"output", "gradient"}
