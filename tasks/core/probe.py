"""A linear probe: the head that fits frozen embeddings best.

N images, D width of the embedding, K classes
"""

from typing import NamedTuple

import torch
from torch import Tensor

from tasks.core.losses import balanced_softmax_loss

# A feature that hardly varies must not be blown up when the scaling is folded into the head.
_LEAST_SD = 1e-2


class Head(NamedTuple):
    weight_KD: Tensor
    bias_K: Tensor


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
    mean_D, sd_D = embeddings_ND.mean(dim=0), embeddings_ND.std(dim=0).clamp_min(_LEAST_SD)
    standardised_ND = (embeddings_ND - mean_D) / sd_D
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
    folded_KD = weight_KD.detach() / sd_D
    return Head(folded_KD, bias_K.detach() - folded_KD @ mean_D)
