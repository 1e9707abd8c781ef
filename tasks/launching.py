"""The processes of a training, what they compute on, and in how many bits."""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from tasks.core.errors import ParamsError
from tasks.core.inference import Place
from tasks.feeding import spare_cores
from tasks.lesson import Course, Lesson, Steps
from tasks.processes import MEETING

if TYPE_CHECKING:  # it takes a second to import
    from lightning_fabric import Fabric


WORKERS, PAUSE = "TILTH_WORKERS", "TILTH_CHECKPOINT_SECONDS"
_USUAL_PAUSE = 60.0


def asked_workers(device: torch.device, reads_images: bool) -> int:
    """Processes that make images ready beside the training. What is learnt does not hang on it, so
    it is a matter of the machine and no param. By default as many as there are cores to spare
    beside a GPU whose images are read for every batch, and else none: each takes seconds to start,
    and a core that a training on the CPU uses itself.

    Raises ParamsError for a TILTH_WORKERS that is no such number.
    """
    told = os.environ.get(WORKERS)
    if told is None:
        return spare_cores(1) if reads_images and device.type != "cpu" else 0
    if not told.isdecimal():
        raise ParamsError(f"{WORKERS} is {told!r}; expected how many processes, 0 for none")
    return int(told)


def checkpoint_pause() -> float:
    """Seconds between checkpoints. Raises ParamsError for a TILTH_CHECKPOINT_SECONDS below 0."""
    told = os.environ.get(PAUSE, str(_USUAL_PAUSE))
    with suppress(ValueError):
        if float(told) >= 0:
            return float(told)
    raise ParamsError(f"{PAUSE} is {told!r}; expected a number of seconds")


class Launched(NamedTuple):
    """`scaler`: of gradients, which vanish in float16 otherwise; None in other precisions."""

    fabric: "Fabric"
    scaler: torch.amp.GradScaler | None


def launch(place: Place) -> Launched:
    """This process of the training: alone, or one of several."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision, Precision

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    kind = place.device.type
    scaler = torch.amp.GradScaler(kind) if place.precision == "fp16" else None
    plugins = {
        "float32": Precision,
        "bf16": lambda: MixedPrecision("bf16-mixed", kind),
        "fp16": lambda: MixedPrecision("16-mixed", kind, scaler),
    }
    num_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    num_everywhere = int(os.environ.get("WORLD_SIZE", "1"))
    if MEETING in os.environ and not torch.distributed.is_initialized():
        torch.distributed.init_process_group(
            backend="nccl" if kind == "cuda" else "gloo",
            init_method=Path(os.environ[MEETING]).as_uri(),
            rank=int(os.environ["RANK"]),
            world_size=num_everywhere,
        )
    fabric = Fabric(
        accelerator=kind,
        devices=num_here,
        num_nodes=num_everywhere // num_here,
        strategy="auto" if num_everywhere == 1 else "ddp",
        plugins=[plugins[place.precision]()],
    )
    fabric.launch()
    return Launched(fabric, scaler)


def prepare(fabric: "Fabric", lesson: Lesson, course: Course) -> Any:
    """The lesson on its device, to be called for the outcome of a part.

    Raises ParamsError where it is to be compiled for the CPU, and there is no compiler.
    """
    lesson.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(lesson)
    if course.is_compiled:
        if fabric.device.type == "cpu":
            _refuse_without_compiler(course.title)
        _compile(lesson.net)
    return fabric.setup_module(lesson, move_to_device=False)


def _refuse_without_compiler(stage: str) -> None:
    # Imported late, as below: it takes seconds.
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise ParamsError(
            f"params.yaml: {stage}.compiled is true, and torch finds no C++ compiler here; "
            "expected g++ or another that CXX names, or compiled: false"
        ) from None


def _compile(net: nn.Module) -> None:
    from torch._inductor import config

    # Dropout draws as it does where nothing is compiled.
    config.fallback_random = True
    net.compile()


def scaled_step(steps: Steps, scaler: torch.amp.GradScaler) -> None:
    """A step from scaled gradients, which is left out if one of them overflowed."""
    scaler.step(_Scaled(steps))  # type: ignore[arg-type]
    scaler.update()
    for group in steps.optimiser.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


class _Scaled:
    """An optimisation as GradScaler wants its optimisers: it clips what was scaled back."""

    def __init__(self, steps: Steps):
        self.param_groups, self.step = steps.optimiser.param_groups, steps.step
