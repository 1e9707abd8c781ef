"""Methods of learning an encoder without labels, by name: each a net around it that gives a loss.

N images, H height, W width, C channels, D width of a projection, Q keys in the queue
"""

import copy
import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.core.params import Section
from tasks.core.ssl_losses import (
    barlow_twins_loss,
    info_nce_loss,
    negative_cosine_loss,
    nt_xent_loss,
    regression_loss,
    vicreg_loss,
)

Momentum = Annotated[float, Field(ge=0, lt=1)]


class SelfSupervised(nn.Module):
    """Two views of N images → their loss. `state_dict()` is all that going on later needs."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Tensor:
        outputs = self.project(view1_NHWC, view2_NHWC)
        # A sum over a batch or a queue has no digits to spare, whatever the nets compute in.
        with torch.autocast(view1_NHWC.device.type, enabled=False):
            return self.compare(*(output.float() for output in outputs))

    def project(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Sequence[Tensor]:
        raise NotImplementedError

    def compare(self, *outputs: Tensor) -> Tensor:
        raise NotImplementedError

    def end_step(self, progress: float) -> None:
        """What follows a step of the optimiser; `progress` runs from 0 to 1."""


class SimClr(Section):
    """A simple framework for contrastive learning (Chen et al., 2020)."""

    name: Literal["simclr"]
    temperature: PositiveFloat
    projector_width: PositiveInt
    projection_width: PositiveInt


class SimClrNet(SelfSupervised):
    def __init__(self, params: SimClr, encoder: nn.Module, width: int):
        super().__init__(encoder)
        self.temperature = params.temperature
        self.projector = make_mlp(width, params.projector_width, params.projection_width)

    def project(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Sequence[Tensor]:
        both = torch.cat([view1_NHWC, view2_NHWC])
        return self.projector(self.encoder(both)).chunk(2)

    def compare(self, z1_ND: Tensor, z2_ND: Tensor) -> Tensor:
        return nt_xent_loss(z1_ND, z2_ND, self.temperature)


class Moco(Section):
    """Momentum contrast (He et al., 2020), with the projector of its second version (Chen et al.,
    Improved baselines with momentum contrastive learning, 2020)."""

    name: Literal["moco"]
    temperature: PositiveFloat
    projector_width: PositiveInt
    projection_width: PositiveInt
    queue_length: PositiveInt
    momentum: Momentum


class MocoNet(SelfSupervised):
    """Keys are not shuffled between processes: on each, batch norm sees its own batch alone."""

    queue_QD: Tensor

    def __init__(self, params: Moco, encoder: nn.Module, width: int):
        super().__init__(encoder)
        self.temperature, self.momentum = params.temperature, params.momentum
        self.projector = make_mlp(width, params.projector_width, params.projection_width)
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


class Byol(Section):
    """Bootstrap your own latent (Grill et al., 2020); `momentum` is that of the first step."""

    name: Literal["byol"]
    projector_width: PositiveInt
    projection_width: PositiveInt
    predictor_width: PositiveInt
    momentum: Momentum


class ByolNet(SelfSupervised):
    def __init__(self, params: Byol, encoder: nn.Module, width: int):
        super().__init__(encoder)
        self.momentum = params.momentum
        out_width = params.projection_width
        self.projector = make_mlp(width, params.projector_width, out_width)
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


class SimSiam(Section):
    """Simple Siamese representation learning (Chen and He, 2021)."""

    name: Literal["simsiam"]
    projector_width: PositiveInt
    projection_width: PositiveInt
    predictor_width: PositiveInt


class SimSiamNet(SelfSupervised):
    def __init__(self, params: SimSiam, encoder: nn.Module, width: int):
        super().__init__(encoder)
        hidden, out_width = params.projector_width, params.projection_width
        # Batch norm on the projection as well (section 3 of the paper).
        self.projector = nn.Sequential(
            make_mlp(width, hidden, hidden, out_width), nn.BatchNorm1d(out_width, affine=False)
        )
        self.predictor = make_mlp(out_width, params.predictor_width, out_width)

    def project(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Sequence[Tensor]:
        z1_ND, z2_ND = (self.projector(self.encoder(v)) for v in (view1_NHWC, view2_NHWC))
        return self.predictor(z1_ND), self.predictor(z2_ND), z1_ND, z2_ND

    def compare(self, p1_ND: Tensor, p2_ND: Tensor, z1_ND: Tensor, z2_ND: Tensor) -> Tensor:
        return (negative_cosine_loss(p1_ND, z2_ND) + negative_cosine_loss(p2_ND, z1_ND)) / 2


class BarlowTwins(Section):
    """Self-supervised learning via redundancy reduction (Zbontar et al., 2021)."""

    name: Literal["barlow_twins"]
    projector_width: PositiveInt
    projection_width: PositiveInt
    redundancy_weight: PositiveFloat


class BarlowTwinsNet(SelfSupervised):
    def __init__(self, params: BarlowTwins, encoder: nn.Module, width: int):
        super().__init__(encoder)
        self.redundancy_weight = params.redundancy_weight
        hidden = params.projector_width
        self.projector = make_mlp(width, hidden, hidden, params.projection_width)

    def project(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Sequence[Tensor]:
        return [self.projector(self.encoder(view)) for view in (view1_NHWC, view2_NHWC)]

    def compare(self, z1_ND: Tensor, z2_ND: Tensor) -> Tensor:
        return barlow_twins_loss(z1_ND, z2_ND, self.redundancy_weight)


class VicReg(Section):
    """Variance, invariance, covariance regularisation (Bardes et al., 2022)."""

    name: Literal["vicreg"]
    projector_width: PositiveInt
    projection_width: PositiveInt
    invariance_weight: PositiveFloat
    variance_weight: NonNegativeFloat
    covariance_weight: NonNegativeFloat


class VicRegNet(SelfSupervised):
    def __init__(self, params: VicReg, encoder: nn.Module, width: int):
        super().__init__(encoder)
        self.weights = (params.invariance_weight, params.variance_weight, params.covariance_weight)
        hidden = params.projector_width
        self.projector = make_mlp(width, hidden, hidden, params.projection_width)

    def project(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Sequence[Tensor]:
        return [self.projector(self.encoder(view)) for view in (view1_NHWC, view2_NHWC)]

    def compare(self, z1_ND: Tensor, z2_ND: Tensor) -> Tensor:
        return vicreg_loss(z1_ND, z2_ND, *self.weights)
