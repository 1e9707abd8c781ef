"""Methods whose second view goes through a teacher: the net itself, as it was on average of late.

N images, H height, W width, C channels, D width of a projection, Q keys in the queue
"""

import copy
import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.core.encoder import Encoder
from tasks.core.self_supervised import Projected, SelfSupervised, make_mlp
from tasks.core.ssl_losses import info_nce_loss, regression_loss

Momentum = Annotated[float, Field(ge=0, lt=1)]


class Moco(Projected):
    """Momentum contrast (He et al., 2020), with the projector of its second version (Chen et al.,
    Improved baselines with momentum contrastive learning, 2020)."""

    name: Literal["moco"]
    temperature: PositiveFloat
    queue_length: PositiveInt
    momentum: Momentum


class MocoNet(SelfSupervised):
    """Keys are not shuffled between processes: on each, batch norm sees its own batch alone. The
    queue is that of the first process, which hands its buffers to the others."""

    queue_QD: Tensor

    def __init__(self, params: Moco, encoder: Encoder):
        super().__init__(encoder)
        self.temperature, self.momentum = params.temperature, params.momentum
        self.projector = make_mlp(
            encoder.embedding_width, params.projector_width, params.projection_width
        )
        self.teacher = make_teacher(encoder, self.projector)
        queue_QD = torch.randn(params.queue_length, params.projection_width)
        self.register_buffer("queue_QD", F.normalize(queue_QD, dim=1))

    def project(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Sequence[Tensor]:
        with torch.no_grad():
            keys_ND = self.teacher(view2_NHWC)
        return self.projector(self.encoder(view1_NHWC)), keys_ND

    def compare(self, queries_ND: Tensor, keys_ND: Tensor) -> Tensor:
        loss = info_nce_loss(queries_ND, keys_ND, self.queue_QD, self.temperature)
        newest_first = torch.cat([F.normalize(keys_ND, dim=1), self.queue_QD])
        self.queue_QD = newest_first[: len(self.queue_QD)]
        return loss

    def end_step(self, progress: float) -> None:
        follow(self.teacher, (self.encoder, self.projector), self.momentum)


class Byol(Projected):
    """Bootstrap your own latent (Grill et al., 2020); `momentum` is that of the first step."""

    name: Literal["byol"]
    predictor_width: PositiveInt
    momentum: Momentum


class ByolNet(SelfSupervised):
    def __init__(self, params: Byol, encoder: Encoder):
        super().__init__(encoder)
        self.momentum = params.momentum
        out_width = params.projection_width
        self.projector = make_mlp(encoder.embedding_width, params.projector_width, out_width)
        self.predictor = make_mlp(out_width, params.predictor_width, out_width)
        self.teacher = make_teacher(encoder, self.projector)

    def project(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Sequence[Tensor]:
        views = (view1_NHWC, view2_NHWC)
        with torch.no_grad():
            targets = [self.teacher(view) for view in views]
        return *(self.predictor(self.projector(self.encoder(view))) for view in views), *targets

    def compare(self, p1_ND: Tensor, p2_ND: Tensor, target1_ND: Tensor, target2_ND: Tensor):
        return regression_loss(p1_ND, target2_ND) + regression_loss(p2_ND, target1_ND)

    def end_step(self, progress: float) -> None:
        momentum = cosine_momentum(self.momentum, progress)
        follow(self.teacher, (self.encoder, self.projector), momentum)


def make_teacher(encoder: nn.Module, projector: nn.Module) -> nn.Sequential:
    """A copy that no gradient reaches."""
    return copy.deepcopy(nn.Sequential(encoder, projector)).requires_grad_(False)


@torch.no_grad()
def follow(teacher: nn.Sequential, taught: Sequence[nn.Module], momentum: float) -> None:
    """Moves each weight of the teacher towards the net that is taught. Running statistics are its
    own: it sees the same images."""
    for copied, module in zip(teacher, taught, strict=True):
        for weight, target in zip(copied.parameters(), module.parameters(), strict=True):
            weight.lerp_(target, 1 - momentum)


def cosine_momentum(momentum: float, progress: float) -> float:
    """From `momentum` to 1 along half a cosine (Grill et al., 2020, section 3.3)."""
    return 1 - (1 - momentum) * (math.cos(math.pi * progress) + 1) / 2
