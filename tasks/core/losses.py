"""Losses of a classifier, for classes of unequal size and labels that may be wrong.

Each takes labels, or shares of the classes where images are mixed, and the weight of each row.

N images, K classes, M rows of the manifest
"""

from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.core.class_weights import ClassWeights, Unweighted
from tasks.core.params import Section

_Share = Annotated[float, Field(ge=0, lt=1)]


class _Loss(Section):
    """`label_smoothing` is the share of each label that all classes divide among themselves."""

    takes_mixtures: ClassVar[bool] = True

    label_smoothing: _Share

    def costs(self, logits_NK: Tensor, counts_K: Tensor) -> Tensor:
        """What each class would cost, were it the label: (N, K)."""
        return -F.log_softmax(logits_NK, dim=1)


class _Weighted(_Loss):
    class_weights: ClassWeights


class _Balanced(_Loss):
    """What shifts logits by the classes' priors needs no class weights beside it."""

    class_weights: ClassVar[ClassWeights] = Unweighted(name="none")


class CrossEntropy(_Weighted):
    name: Literal["cross_entropy"]


class BalancedSoftmax(_Balanced):
    """Cross-entropy of logits shifted by the classes' log priors: learnt under the priors of train
    rows, the unshifted logits are those of balanced classes (Ren et al., Balanced meta-softmax,
    2020, equation 3). Plain cross-entropy where classes are equal."""

    name: Literal["balanced_softmax"]

    def costs(self, logits_NK: Tensor, counts_K: Tensor) -> Tensor:
        return -F.log_softmax(logits_NK + _log_priors(counts_K), dim=1)


class LogitAdjustment(_Balanced):
    """Balanced softmax with `tau` times the shift (Menon et al., Long-tail learning via logit
    adjustment, 2021, equation 10)."""

    name: Literal["logit_adjustment"]
    tau: PositiveFloat

    def costs(self, logits_NK: Tensor, counts_K: Tensor) -> Tensor:
        return -F.log_softmax(logits_NK + self.tau * _log_priors(counts_K), dim=1)


class Focal(_Weighted):
    """Cross-entropy that says less of what is known already (Lin et al., Focal loss for dense
    object detection, 2017, equation 4); with a `gamma` of 0 it is cross-entropy."""

    name: Literal["focal"]
    gamma: NonNegativeFloat

    def costs(self, logits_NK: Tensor, counts_K: Tensor) -> Tensor:
        log_p_NK = F.log_softmax(logits_NK, dim=1)
        # Where a probability is 1, the slope of a power below 1 has no bound.
        missing_NK = (-log_p_NK.expm1()).clamp_min(1e-8)
        return -(missing_NK**self.gamma) * log_p_NK


class Ldam(_Weighted):
    """Cross-entropy after the label's logit is lowered by a margin: `max_margin` for the smallest
    class, less for others, by the fourth root of their rows (Cao et al., Learning imbalanced
    datasets with label-distribution-aware margin loss, 2019, equation 13).

    In logits of a plain head: the paper's 0.5, of cosines at scale 30, is 15 here.
    """

    name: Literal["ldam"]
    max_margin: NonNegativeFloat

    def costs(self, logits_NK: Tensor, counts_K: Tensor) -> Tensor:
        margins_K = self.max_margin * (counts_K.min() / counts_K) ** 0.25
        return F.softplus(_log_mass_of_others(logits_NK) - logits_NK + margins_K)


class GeneralisedCrossEntropy(_Weighted):
    """(1 - p^q) / q: cross-entropy as q nears 0, at 1 an absolute error, which wrong labels cannot
    pull far (Zhang and Sabuncu, Generalized cross entropy loss, 2018, equation 6)."""

    name: Literal["generalised_cross_entropy"]
    q: Annotated[float, Field(gt=0, le=1)]

    def costs(self, logits_NK: Tensor, counts_K: Tensor) -> Tensor:
        return -(self.q * F.log_softmax(logits_NK, dim=1)).expm1() / self.q


class EarlyLearning(_Weighted):
    """Cross-entropy, and `strength` times a term that holds each row to what the net said of it
    before, over which `momentum` averages (Liu et al., Early-learning regularization prevents
    memorization of noisy labels, 2020, equations 6 and 9). Weights of rows and classes are those of
    both terms. Not for mixed images, which are no row's own."""

    takes_mixtures: ClassVar[bool] = False

    name: Literal["early_learning"]
    strength: PositiveFloat
    momentum: _Share


Loss = Annotated[
    CrossEntropy
    | BalancedSoftmax
    | LogitAdjustment
    | Focal
    | Ldam
    | GeneralisedCrossEntropy
    | EarlyLearning,
    Field(discriminator="name"),
]


class ClassificationLoss(nn.Module):
    """The mean over rows of what their labels cost, by the weights of rows and of classes.

    `counts_K`: rows of each class among those that are learnt from, repeats counted.
    """

    counts_K: Tensor
    class_weights_K: Tensor

    def __init__(self, settings: Loss, counts_K: Tensor):
        super().__init__()
        self.settings = settings
        weights_K = settings.class_weights.of(counts_K.double()).float()
        # On the host, so that asking does not wait for the device.
        self._weights_K = weights_K.double().numpy()
        self.register_buffer("counts_K", counts_K.float(), persistent=False)
        self.register_buffer("class_weights_K", weights_K, persistent=False)

    def forward(
        self, logits_NK: Tensor, targets: Tensor, weights_N: Tensor, rows_N: Tensor, epoch: int
    ) -> Tensor:
        """Targets are labels (N,) or shares of the classes (N, K); the first epoch is 1."""
        mass_NK = self._masses(targets, weights_N, epoch)
        costs_NK = self.settings.costs(logits_NK, self.counts_K)
        return (mass_NK * costs_NK).sum() / mass_NK.sum()

    def masses_of_classes(self, epoch: int) -> np.ndarray:
        """What an image of each class counts for beside one of another, float64 (K,)."""
        weights_K = self._weights_K
        if epoch < self.settings.class_weights.from_epoch:
            return np.ones_like(weights_K)
        smoothing = self.settings.label_smoothing
        return (1 - smoothing) * weights_K + smoothing * weights_K.mean()

    def _masses(self, targets: Tensor, weights_N: Tensor, epoch: int) -> Tensor:
        num_classes, smoothing = len(self.counts_K), self.settings.label_smoothing
        shares_NK = F.one_hot(targets, num_classes) if targets.ndim == 1 else targets
        mass_NK = weights_N[:, None] * ((1 - smoothing) * shares_NK + smoothing / num_classes)
        is_weighted = epoch >= self.settings.class_weights.from_epoch
        return mass_NK * self.class_weights_K if is_weighted else mass_NK


class EarlyLearningLoss(ClassificationLoss):
    """Remembers M rows by K classes; of a row that a batch repeats, one of its images."""

    said_MK: Tensor

    def __init__(self, settings: EarlyLearning, counts_K: Tensor, num_rows: int):
        super().__init__(settings, counts_K)
        self.strength, self.momentum = settings.strength, settings.momentum
        self.register_buffer("said_MK", torch.zeros(num_rows, len(counts_K)))

    def forward(
        self, logits_NK: Tensor, targets: Tensor, weights_N: Tensor, rows_N: Tensor, epoch: int
    ) -> Tensor:
        assert targets.ndim == 1
        p_NK = F.softmax(logits_NK, dim=1).clamp(1e-4, 1 - 1e-4)
        now_NK = (p_NK / p_NK.sum(dim=1, keepdim=True)).detach()
        self.said_MK[rows_N] = torch.lerp(now_NK, self.said_MK[rows_N], self.momentum)
        agreement_N = (self.said_MK[rows_N] * p_NK).sum(dim=1)
        mass_N = self._masses(targets, weights_N, epoch).sum(dim=1)
        disagreement = (mass_N * (1 - agreement_N).log()).sum() / mass_N.sum()
        loss = super().forward(logits_NK, targets, weights_N, rows_N, epoch)
        return loss + self.strength * disagreement


def make_loss(settings: Loss, counts_K: Tensor, num_rows: int) -> ClassificationLoss:
    """`num_rows` is that of the manifest."""
    if isinstance(settings, EarlyLearning):
        return EarlyLearningLoss(settings, counts_K, num_rows)
    return ClassificationLoss(settings, counts_K)


def refuse_unreached(settings: Loss, num_epochs: int) -> None:
    """Raises ValueError if class weights would begin after the last epoch."""
    from_epoch = settings.class_weights.from_epoch
    if from_epoch > num_epochs > 0:
        raise ValueError(
            f"loss.class_weights.from_epoch is {from_epoch}, so they would never begin; expected "
            f"at most epochs ({num_epochs})"
        )


def balanced_softmax_loss(
    logits_NK: Tensor, targets: Tensor, priors_K: Tensor, weights_N: Tensor, smoothing: float
) -> Tensor:
    """`BalancedSoftmax` of classes whose priors are known."""
    shifted_NK = logits_NK + priors_K.log()
    loss_N = F.cross_entropy(shifted_NK, targets, reduction="none", label_smoothing=smoothing)
    return (weights_N * loss_N).sum() / weights_N.sum()


def _log_priors(counts_K: Tensor) -> Tensor:
    return (counts_K / counts_K.sum()).log()


def _log_mass_of_others(logits_NK: Tensor) -> Tensor:
    """log Σ exp of all logits but one's own, exact also where one's own outweighs all others."""
    top_N1 = logits_NK.argmax(dim=1, keepdim=True)
    without_top_NK = logits_NK.scatter(1, top_N1, float("-inf"))
    # No class but the top one has more than half of the mass; the bound keeps its slope finite.
    share_NK = F.softmax(logits_NK, dim=1).clamp(max=0.75)
    others_NK = logits_NK.logsumexp(dim=1, keepdim=True) + (-share_NK).log1p()
    is_top_NK = torch.zeros_like(logits_NK, dtype=torch.bool).scatter(1, top_N1, True)
    return torch.where(is_top_NK, without_top_NK.logsumexp(dim=1, keepdim=True), others_NK)
