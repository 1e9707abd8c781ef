"""Losses that need no labels: one function per paper. No shape hangs on a value, so that the host
need not wait for the device.

N images, D width of a projection, Q keys in the queue, P patches, X values of a patch
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# Keeps the square root of a variance of 0 differentiable; the value of VICReg's authors.
_LEAST_VARIANCE = 1e-4
# Keeps a patch of one colour from being divided by 0; the value of the authors of MAE.
_LEAST_PATCH_VARIANCE = 1e-6


def nt_xent_loss(z1_ND: Tensor, z2_ND: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy of two views of N images.

    Each projection must tell its image's other view among the 2N - 1 others
    (Chen et al., A simple framework for contrastive learning, 2020, equation 1).
    """
    num_images = len(z1_ND)
    z_MD = F.normalize(torch.cat([z1_ND, z2_ND]), dim=1)
    similarity_MM = z_MD @ z_MD.T / temperature
    similarity_MM.fill_diagonal_(float("-inf"))
    other_view_M = torch.arange(2 * num_images, device=z_MD.device).roll(num_images)
    return F.cross_entropy(similarity_MM, other_view_M)


def info_nce_loss(
    queries_ND: Tensor, keys_ND: Tensor, queue_QD: Tensor, temperature: float
) -> Tensor:
    """Each query must tell its image's key among those of Q other images
    (He et al., Momentum contrast, 2020, equation 1).

    `queue_QD` has rows of length 1; keys and queue teach, and do not learn.
    """
    q_ND, k_ND = F.normalize(queries_ND, dim=1), F.normalize(keys_ND.detach(), dim=1)
    positive_N1 = (q_ND * k_ND).sum(dim=1, keepdim=True)
    negative_NQ = q_ND @ queue_QD.detach().T
    logits = torch.cat([positive_N1, negative_NQ], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def regression_loss(predictions_ND: Tensor, targets_ND: Tensor) -> Tensor:
    """Squared distance of normalised predictions from what the teacher makes of the other view
    (Grill et al., Bootstrap your own latent, 2020, equation 2)."""
    predicted_ND = F.normalize(predictions_ND, dim=1)
    target_ND = F.normalize(targets_ND.detach(), dim=1)
    return (predicted_ND - target_ND).square().sum(dim=1).mean()


def negative_cosine_loss(predictions_ND: Tensor, projections_ND: Tensor) -> Tensor:
    """Minus the cosine of predictions and the other view's projections, through which no gradient
    flows (Chen and He, Exploring simple Siamese representation learning, 2021, equation 1)."""
    return -F.cosine_similarity(predictions_ND, projections_ND.detach(), dim=1).mean()


def barlow_twins_loss(z1_ND: Tensor, z2_ND: Tensor, redundancy_weight: float) -> Tensor:
    """How far the correlations of the two views' features are from the identity
    (Zbontar et al., Barlow Twins, 2021, equation 1)."""
    correlation_DD = standardise(z1_ND).T @ standardise(z2_ND) / len(z1_ND)
    invariance = (1 - correlation_DD.diagonal()).square().sum()
    redundancy = off_diagonal(correlation_DD).square().sum()
    return invariance + redundancy_weight * redundancy


def vicreg_loss(
    z1_ND: Tensor,
    z2_ND: Tensor,
    invariance_weight: float,
    variance_weight: float,
    covariance_weight: float,
) -> Tensor:
    """Views agree, features vary, and features differ from one another
    (Bardes et al., VICReg, 2022, equations 1 to 6, with the variance averaged over both views as
    in the authors' code)."""
    invariance = F.mse_loss(z1_ND, z2_ND)
    variance = (_lacking_spread(z1_ND) + _lacking_spread(z2_ND)) / 2
    covariance = _redundant_covariance(z1_ND) + _redundant_covariance(z2_ND)
    return (
        invariance_weight * invariance + variance_weight * variance + covariance_weight * covariance
    )


def _lacking_spread(z_ND: Tensor) -> Tensor:
    sd_D = (z_ND.var(dim=0) + _LEAST_VARIANCE).sqrt()
    return F.relu(1 - sd_D).mean()


def _redundant_covariance(z_ND: Tensor) -> Tensor:
    centred_ND = z_ND - z_ND.mean(dim=0)
    covariance_DD = centred_ND.T @ centred_ND / (len(z_ND) - 1)
    return off_diagonal(covariance_DD).square().sum() / z_ND.shape[1]


def reconstruction_loss(predicted_NPX: Tensor, patches_NPX: Tensor, is_masked_NP: Tensor) -> Tensor:
    """Mean squared error of what was predicted for the masked patches, each patch of the target on
    the scale of its own mean and deviation (He et al., Masked autoencoders are scalable vision
    learners, 2022, section 3)."""
    variance_NP1, mean_NP1 = torch.var_mean(patches_NPX, dim=2, keepdim=True)
    target_NPX = (patches_NPX - mean_NP1) / (variance_NP1 + _LEAST_PATCH_VARIANCE).sqrt()
    error_NP = (predicted_NPX - target_NPX).square().mean(dim=2)
    return torch.where(is_masked_NP, error_NP, 0).sum() / is_masked_NP.sum()


def standardise(z_ND: Tensor) -> Tensor:
    """Features of mean 0 and variance 1 over the batch; a constant feature becomes 0."""
    sd_D = z_ND.std(dim=0, correction=0).clamp_min(1e-6)
    return (z_ND - z_ND.mean(dim=0)) / sd_D


def off_diagonal(matrix_DD: Tensor) -> Tensor:
    """The entries outside the diagonal, (D · (D - 1),)."""
    width = len(matrix_DD)
    # After the first entry of a flat matrix, each further (width + 1)th lies on the diagonal.
    return matrix_DD.flatten()[1:].view(width - 1, width + 1)[:, :-1].flatten()
