"""Losses.

N images, D width of the projection, K classes
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def nt_xent_loss(z1_ND: Tensor, z2_ND: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy of two views of N images.

    Each projection must tell its image's other view among the 2N - 1 others
    (Chen et al., A simple framework for contrastive learning, 2020, equation 1).
    """
    num_images = len(z1_ND)
    z_MD = F.normalize(torch.cat([z1_ND, z2_ND]), dim=1)
    similarity_MM = z_MD @ z_MD.T / temperature
    similarity_MM.fill_diagonal_(float("-inf"))
    other_view_M = torch.arange(2 * num_images).roll(num_images)
    return F.cross_entropy(similarity_MM, other_view_M.to(z_MD.device))


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
