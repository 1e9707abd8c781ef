"""What the training loop is given: a lesson, how long it takes, and where it takes place."""

from abc import ABC, abstractmethod
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from tasks.core.batches import Part
from tasks.core.params import Section
from tasks.feeding import Source


class Outcome(NamedTuple):
    """Of a part: the loss, a mean weighted by the rows' weights, and the share of labels that were
    right (not a number where there are none)."""

    loss: Tensor
    accuracy: Tensor | float


Where = Literal["host", "device"]


class Execution(Section):
    """How a stage computes what it teaches: the same lesson, whose results differ by rounding, on
    the device by other draws too, and by what batch norm and contrasts see of a batch.

    num_accumulated: parts of a batch, one after the other, in each of `num_processes`.
    augmentation: by albumentations on the host, or in batches on the device.
    """

    num_accumulated: PositiveInt
    num_processes: PositiveInt
    compiled: bool
    augmentation: Where


class Lesson(nn.Module, ABC):
    """What a stage teaches, and from what. Nets, losses with a memory and whatever else changes
    are its submodules, so that `state_dict()` is all that a resume needs.

    net: what learns.  rows: an epoch's, with repeats.  source: what a part brings.
    """

    net: nn.Module
    rows: np.ndarray
    source: Source

    @abstractmethod
    def forward(self, part: Part, *tensors: Tensor) -> Outcome:
        """`tensors`: what `source` gave, on the device."""

    @abstractmethod
    def measure(self, net: nn.Module) -> dict[str, float]:
        """What the net is worth; it is `self.net`, or an average of what that was."""

    def weigh(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """What the rows count for in the mean that is the loss."""
        return np.ones(len(rows))

    def share(self, part: Part) -> float:
        """Of the batch's weight, that of the part."""
        if len(part.own_rows) == len(part.rows):
            return 1.0
        weights_N = self.weigh(part.rows, part.epoch).astype(np.float64)
        return float(weights_N[part.first : part.last].sum() / weights_N.sum())

    def begin_epoch(self, epoch: int) -> None:
        """Into training mode; the first epoch is 1."""
        self.train()

    def end_step(self, progress: float) -> None:
        """What follows a step of the optimiser; `progress` runs from 0 to 1."""


class Steps(Protocol):
    """An optimiser with all that belongs to it."""

    optimiser: torch.optim.Optimizer

    @property
    def learning_rate(self) -> float: ...

    @property
    def judged_net(self) -> nn.Module: ...

    def step(self) -> None:
        """From the gradients to other weights; the gradients are cleared."""

    def end_epoch(self, val_loss: float | None) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Course(NamedTuple):
    """How long and in what portions. A batch is taken in `num_accumulated` parts by each process.

    judge: the measure by which the best epoch is kept, the less the better; None keeps the last.
    patience: epochs without a better one, after which it ends; None for all.
    seed: of the order of rows, and of all draws.
    num_workers: processes that make the images ready beside it; nothing else hangs on them.
    """

    title: str
    epochs: int
    batch_size: int
    num_accumulated: int
    judge: str | None
    patience: int | None
    is_compiled: bool
    seed: int
    num_workers: int
