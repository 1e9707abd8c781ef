"""Losses.

N images, K classes
"""

from torch import Tensor
from torch.nn import functional as F


def balanced_softmax_loss(
    logits_NK: Tensor, targets: Tensor, priors_K: Tensor, weights_N: Tensor, smoothing: float
) -> Tensor:
    """Weighted mean cross-entropy of logits shifted by the classes' log priors.

    Targets are labels (N,), or shares of the classes (N, K).

    Learnt under the priors of train rows, the unshifted logits are those of balanced classes
    (Ren et al., Balanced meta-softmax, 2020, equation 3).
    """
    shifted_NK = logits_NK + priors_K.log()
    loss_N = F.cross_entropy(shifted_NK, targets, reduction="none", label_smoothing=smoothing)
    return (weights_N * loss_N).sum() / weights_N.sum()
