"""A linear probe: the head that fits frozen embeddings best.

N images, D width of the embedding, K classes
"""

from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.optimize import minimize_scalar
from torch import Tensor

from tasks.core.losses import balanced_softmax_loss
from tasks.core.params import Section

# A feature that hardly varies must not be blown up when the scaling is folded into the head.
_LEAST_SD = 1e-2
# Logits of a ridge regression per unit of what it estimates, as powers of ten.
_SHARPNESS = (-1.0, 3.0)


class NoProbe(Section):
    name: Literal["none"]


class LogisticProbe(Section):
    """Balanced-softmax regression by at most `steps` of L-BFGS."""

    name: Literal["logistic"]
    penalty: NonNegativeFloat
    steps: PositiveInt


class RidgeProbe(Section):
    """Ridge regression of one-hot labels, in closed form."""

    name: Literal["ridge"]
    penalty: PositiveFloat


Probe = Annotated[LogisticProbe | RidgeProbe, Field(discriminator="name")]
AnyProbe = Annotated[NoProbe | LogisticProbe | RidgeProbe, Field(discriminator="name")]


class Head(NamedTuple):
    weight_KD: Tensor
    bias_K: Tensor


def fit_probe(
    probe: Probe, embeddings_ND: Tensor, labels_N: Tensor, weights_N: Tensor, priors_K: Tensor
) -> Head:
    """Classes count the same, whatever their priors; the embeddings are standardised, and that is
    folded into the weights.

    `penalty` multiplies half the squared norm of the standardised weights, beside a mean over rows.
    """
    if isinstance(probe, RidgeProbe):
        return fit_ridge_head(embeddings_ND, labels_N, weights_N, priors_K, probe.penalty)
    return fit_head(embeddings_ND, labels_N, weights_N, priors_K, probe.penalty, probe.steps)


def fit_head(
    embeddings_ND: Tensor,
    labels_N: Tensor,
    weights_N: Tensor,
    priors_K: Tensor,
    penalty: float,
    num_steps: int,
) -> Head:
    """Balanced-softmax regression on standardised embeddings by L-BFGS, the standardisation folded
    into the weights.

    `penalty` multiplies half the squared norm of the standardised weights.
    """
    standardised_ND, mean_D, sd_D = _standardise(embeddings_ND)
    weight_KD = torch.zeros(len(priors_K), embeddings_ND.shape[1], requires_grad=True)
    bias_K = torch.zeros(len(priors_K), requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight_KD, bias_K], max_iter=num_steps, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        logits_NK = standardised_ND @ weight_KD.T + bias_K
        value = balanced_softmax_loss(logits_NK, labels_N, priors_K, weights_N, smoothing=0.0)
        value = value + penalty / 2 * weight_KD.square().sum()
        value.backward()
        return value

    optimiser.step(loss)  # type: ignore[arg-type]
    return _folded(weight_KD.detach(), bias_K.detach(), mean_D, sd_D)


def fit_ridge_head(
    embeddings_ND: Tensor, labels_N: Tensor, weights_N: Tensor, priors_K: Tensor, penalty: float
) -> Head:
    """Ridge regression of one-hot labels on standardised embeddings, each row by its weight over
    its class's prior.

    What it estimates becomes logits by one factor: the one under which each row's own label, judged
    without that row, is least surprising (leave-one-out by the leverages: Hastie, Tibshirani and
    Friedman, The elements of statistical learning, 2009, equation 7.64).
    """
    standardised_ND, mean_D, sd_D = _standardise(embeddings_ND.double())
    share_N = weights_N.double() / priors_K.double()[labels_N]
    share_N = share_N / share_N.sum()
    targets_NK = torch.nn.functional.one_hot(labels_N, len(priors_K)).double()
    centre_D, level_K = share_N @ standardised_ND, share_N @ targets_NK
    x_ND, y_NK = standardised_ND - centre_D, targets_NK - level_K
    weighted_ND = share_N[:, None] * x_ND
    gram_DD = weighted_ND.T @ x_ND + penalty * torch.eye(x_ND.shape[1], dtype=torch.float64)
    weight_DK = torch.linalg.solve(gram_DD, weighted_ND.T @ y_NK)
    leverage_N = (weighted_ND * torch.linalg.solve(gram_DD, x_ND.T).T).sum(dim=1) + share_N
    residual_NK = y_NK - x_ND @ weight_DK
    unseen_NK = targets_NK - residual_NK / (1 - leverage_N).clamp_min(1e-6)[:, None]
    factor = _sharpness(unseen_NK, labels_N, share_N)
    weight_KD = factor * weight_DK.T
    return _folded(weight_KD, factor * level_K - weight_KD @ centre_D, mean_D, sd_D)


def _sharpness(estimates_NK: Tensor, labels_N: Tensor, share_N: Tensor) -> float:
    def loss(power: float) -> float:
        log_p_NK = torch.log_softmax(10**power * estimates_NK, dim=1)
        return -float(share_N @ log_p_NK[torch.arange(len(labels_N)), labels_N])

    found = minimize_scalar(loss, bounds=_SHARPNESS, method="bounded")
    return float(np.float64(10) ** found.x)  # type: ignore[attr-defined]


def _standardise(embeddings_ND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean_D, sd_D = embeddings_ND.mean(dim=0), embeddings_ND.std(dim=0).clamp_min(_LEAST_SD)
    return (embeddings_ND - mean_D) / sd_D, mean_D, sd_D


def _folded(weight_KD: Tensor, bias_K: Tensor, mean_D: Tensor, sd_D: Tensor) -> Head:
    folded_KD = weight_KD / sd_D
    return Head(folded_KD.float(), (bias_K - folded_KD @ mean_D).float())
