"""Grad-CAM: where the last features that still have places speak for a class (Selvaraju et al.,
2017), for nets of any family.

N images, H height, W width, C channels, K classes, D width of features, T tokens
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.core.convolutional import ConvolutionalNet, ResidualNet
from tasks.core.encoder import Classifier


def grad_cam(
    net: nn.Module, evidence: Callable[[Tensor], Tensor], images_NHWC: Tensor, classes_N: Tensor
) -> Tensor:
    """Non-negative (N, H, W). `evidence`: images → (N, K), by way of the net.

    Raises ValueError for a net whose features are not known to have places.
    """
    features, evidence_NK = _run_to_places(net, evidence, images_NHWC.requires_grad_())
    told = evidence_NK.gather(1, classes_N[:, None]).sum()
    (gradients,) = torch.autograd.grad(told, features)
    features_NDhw, gradients_NDhw = _on_a_grid(features), _on_a_grid(gradients)
    weights_ND11 = gradients_NDhw.mean(dim=(2, 3), keepdim=True)
    found_N1hw = (weights_ND11 * features_NDhw).sum(dim=1, keepdim=True).relu().detach()
    return F.interpolate(found_N1hw, images_NHWC.shape[1:3], mode="bilinear")[:, 0]


@torch.no_grad()
def count_places(net: nn.Module, image_shape: tuple[int, int, int]) -> int | None:
    """How many places the last features have, None where it is not known which they are."""
    if find_places(net) is None:
        return None
    blank_1HWC = torch.zeros((1, *image_shape), device=next(net.parameters()).device)
    features, _ = _run_to_places(net, net, blank_1HWC)
    return _on_a_grid(features)[0, 0].numel()


def _run_to_places(
    net: nn.Module, evidence: Callable[[Tensor], Tensor], images_NHWC: Tensor
) -> tuple[Tensor, Tensor]:
    """Features with places, and the evidence: maps as they come out of their module, tokens as
    they go into it."""
    module = find_places(net)
    if module is None:
        raise ValueError("nothing in this net is known to have places")
    seen: list[Tensor] = []

    def keep(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        seen.append(made if isinstance(made, Tensor) and made.ndim == 4 else given[0])

    hook = module.register_forward_hook(keep)
    try:
        evidence_NK = evidence(images_NHWC)
    finally:
        hook.remove()
    return seen[0], evidence_NK


def find_places(net: nn.Module) -> nn.Module | None:
    """The last module whose features have places, as far as the family of the net is known."""
    inner = net.encoder.net if isinstance(net, Classifier) else net
    if isinstance(inner, ConvolutionalNet):
        return inner.attention
    if isinstance(inner, ResidualNet):
        return inner.blocks
    lists = [module for module in inner.modules() if isinstance(module, nn.ModuleList)]
    return next((layers[-1] for layers in reversed(lists) if len(layers)), None)


def _on_a_grid(features: Tensor) -> Tensor:
    """Maps (N, D, h, w) as they are; of tokens (N, T, D) those that stand for patches, as a map:
    class tokens and registers come before them."""
    if features.ndim == 4:
        return features
    side = math.isqrt(features.shape[1])
    return features[:, -side * side :].transpose(1, 2).unflatten(2, (side, side))
