"""Methods that compare two views through one and the same net.

N images, H height, W width, C channels, D width of a projection
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from tasks.core.encoder import Encoder
from tasks.core.self_supervised import Projected, SelfSupervised, make_mlp
from tasks.core.ssl_losses import (
    barlow_twins_loss,
    negative_cosine_loss,
    nt_xent_loss,
    vicreg_loss,
)


class SimClr(Projected):
    """A simple framework for contrastive learning (Chen et al., 2020)."""

    name: Literal["simclr"]
    temperature: PositiveFloat


class SimClrNet(SelfSupervised):
    def __init__(self, params: SimClr, encoder: Encoder):
        super().__init__(encoder)
        self.temperature = params.temperature
        self.projector = make_mlp(
            encoder.embedding_width, params.projector_width, params.projection_width
        )

    def project(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Sequence[Tensor]:
        both = torch.cat([view1_NHWC, view2_NHWC])
        return self.projector(self.encoder(both)).chunk(2)

    def compare(self, z1_ND: Tensor, z2_ND: Tensor) -> Tensor:
        return nt_xent_loss(z1_ND, z2_ND, self.temperature)


class SimSiam(Projected):
    """Simple Siamese representation learning (Chen and He, 2021)."""

    name: Literal["simsiam"]
    predictor_width: PositiveInt


class SimSiamNet(SelfSupervised):
    def __init__(self, params: SimSiam, encoder: Encoder):
        super().__init__(encoder)
        hidden, out_width = params.projector_width, params.projection_width
        # Batch norm on the projection as well (section 3 of the paper).
        self.projector = nn.Sequential(
            make_mlp(encoder.embedding_width, hidden, hidden, out_width),
            nn.BatchNorm1d(out_width, affine=False),
        )
        self.predictor = make_mlp(out_width, params.predictor_width, out_width)

    def project(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Sequence[Tensor]:
        z1_ND, z2_ND = (self.projector(self.encoder(v)) for v in (view1_NHWC, view2_NHWC))
        return self.predictor(z1_ND), self.predictor(z2_ND), z1_ND, z2_ND

    def compare(self, p1_ND: Tensor, p2_ND: Tensor, z1_ND: Tensor, z2_ND: Tensor) -> Tensor:
        return (negative_cosine_loss(p1_ND, z2_ND) + negative_cosine_loss(p2_ND, z1_ND)) / 2


class ViewByView(SelfSupervised):
    """Each view goes through the net by itself, and through a projector of three layers."""

    def __init__(self, params: Projected, encoder: Encoder):
        super().__init__(encoder)
        hidden = params.projector_width
        self.projector = make_mlp(encoder.embedding_width, hidden, hidden, params.projection_width)

    def project(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Sequence[Tensor]:
        return [self.projector(self.encoder(view)) for view in (view1_NHWC, view2_NHWC)]


class BarlowTwins(Projected):
    """Self-supervised learning via redundancy reduction (Zbontar et al., 2021)."""

    name: Literal["barlow_twins"]
    redundancy_weight: PositiveFloat


class BarlowTwinsNet(ViewByView):
    def __init__(self, params: BarlowTwins, encoder: Encoder):
        super().__init__(params, encoder)
        self.redundancy_weight = params.redundancy_weight

    def compare(self, z1_ND: Tensor, z2_ND: Tensor) -> Tensor:
        return barlow_twins_loss(z1_ND, z2_ND, self.redundancy_weight)


class VicReg(Projected):
    """Variance, invariance, covariance regularisation (Bardes et al., 2022)."""

    name: Literal["vicreg"]
    invariance_weight: PositiveFloat
    variance_weight: NonNegativeFloat
    covariance_weight: NonNegativeFloat


class VicRegNet(ViewByView):
    def __init__(self, params: VicReg, encoder: Encoder):
        super().__init__(params, encoder)
        self.weights = (params.invariance_weight, params.variance_weight, params.covariance_weight)

    def compare(self, z1_ND: Tensor, z2_ND: Tensor) -> Tensor:
        return vicreg_loss(z1_ND, z2_ND, *self.weights)
