"""What every method of learning without labels is: an encoder, and a net around it whose output is
the loss.

N images, H height, W width, C channels
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from tasks.core.encoder import Encoder
from tasks.core.params import Section


class Projected(Section):
    """Params of methods that compare what a projector makes of embeddings: the width of its hidden
    layers, and that of its output."""

    projector_width: PositiveInt
    projection_width: PositiveInt


class SelfSupervised(nn.Module, ABC):
    """Two views of N images → their loss. `state_dict()` is all that going on later needs.

    `projector` leads from embeddings to where views are compared, and is thrown away afterwards."""

    projector: nn.Module

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Tensor:
        outputs = self.project(view1_NHWC, view2_NHWC)
        # A sum over a batch or a queue has no digits to spare, whatever the nets compute in.
        with torch.autocast(view1_NHWC.device.type, enabled=False):
            return self.compare(*(_exact(output) for output in outputs))

    @abstractmethod
    def project(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Sequence[Tensor]:
        """What the loss is of."""

    @abstractmethod
    def compare(self, *outputs: Tensor) -> Tensor:
        """The loss, from what `project` gave, in single precision."""

    def end_step(self, progress: float) -> None:
        """What follows a step of the optimiser; `progress` runs from 0 to 1."""


def _exact(output: Tensor) -> Tensor:
    return output.float() if output.is_floating_point() else output


def make_mlp(*widths: int) -> nn.Sequential:
    """Linear layers from each width to the next, batch norm and ReLU between them."""
    layers: list[nn.Module] = []
    for num_in, num_out in pairwise(widths[:-1]):
        layers += [nn.Linear(num_in, num_out, bias=False), nn.BatchNorm1d(num_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))
