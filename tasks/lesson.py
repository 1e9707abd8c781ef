"""What the training loop is given: a lesson, how long it takes, and where it takes place."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tasks.core.batches import Part
from tasks.feeding import Source


class Outcome(NamedTuple):
    """Of a part: the loss, a mean weighted by the rows' weights, and the share of labels that were
    right (not a number where there are none)."""

    loss: Tensor
    accuracy: Tensor | float


class Lesson(nn.Module, ABC):
    """What a stage teaches, and from what. Nets, losses with a memory and whatever else changes
    are its submodules, so that `state_dict()` is all that a resume needs.

    net: what learns.  rows: an epoch's, with repeats.  weights: by row.
    source: what a part brings.
    """

    net: nn.Module
    rows: np.ndarray
    weights: np.ndarray
    source: Source

    @abstractmethod
    def forward(self, part: Part, *tensors: Tensor) -> Outcome:
        """`tensors`: what `source` gave, on the device."""

    @abstractmethod
    def measure(self, net: nn.Module) -> dict[str, float]:
        """What the net is worth; it is `self.net`, or an average of what that was."""

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
    """

    title: str
    epochs: int
    batch_size: int
    num_accumulated: int
    judge: str | None
    patience: int | None
    is_compiled: bool


class Place(NamedTuple):
    """Where and how it is computed; `num_workers` processes make the images ready beside it."""

    device: torch.device
    precision: str
    seed: int
    num_workers: int
