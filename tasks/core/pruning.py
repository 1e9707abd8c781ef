"""Smaller nets: channels between the convolutions of a block are taken out, those first that
matter least.

What a block takes and gives keeps its width, so shortcuts and concatenations fit as before.

N images, C channels, G groups of channels that go or stay together
"""

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn

from tasks.core.blocks import Plain, Residual
from tasks.core.encoder import Classifier
from tasks.core.errors import ParamsError

_Norm = nn.BatchNorm2d | nn.GroupNorm


def prune_blocks(classifier: Classifier, fraction: float) -> Classifier:
    """A copy whose blocks have lost `fraction` of the channels between their convolutions; one at
    the least stays, and under group normalisation groups go whole.

    Raises ParamsError for a net that is not made of such blocks.
    """
    pruned = copy.deepcopy(classifier)
    blocks = [part for part in pruned.modules() if isinstance(part, Plain | Residual)]
    if not blocks:
        raise ParamsError(
            "params.yaml: export.variants: pruned takes channels out of convolutional blocks, and "
            f"{type(classifier.encoder.net).__name__} has none; expected a net of the family "
            "convolutional or resnet, or no variant pruned"
        )
    for block in blocks:
        assert isinstance(block.convolutions, nn.Sequential)
        _prune(block.convolutions, fraction)
    return pruned


@torch.no_grad()
def _prune(layers: nn.Sequential, fraction: float) -> None:
    places = [number for number, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    for first, second in pairwise(places):
        conv, following = layers[first], layers[second]
        assert isinstance(conv, nn.Conv2d) and isinstance(following, nn.Conv2d)
        found = layers[first + 1]
        norm = found if isinstance(found, _Norm) else None
        kept_C = _kept_channels(conv, norm, following, fraction)
        layers[first] = _taking(conv, torch.arange(conv.in_channels), kept_C)
        if norm is not None:
            layers[first + 1] = _norm_of(norm, kept_C)
        layers[second] = _taking(following, kept_C, torch.arange(following.out_channels))


def _kept_channels(
    conv: nn.Conv2d, norm: _Norm | None, following: nn.Conv2d, fraction: float
) -> Tensor:
    """Which channels stay, in order.

    A channel matters by what it can give, the L1 norm of its filter (Li et al., Pruning filters for
    efficient convnets, 2017) or its scale where it is normalised (Liu et al., Learning efficient
    convolutional networks through network slimming, 2017), times what is made of it, the L1 norm of
    the weights that it meets next.
    """
    given_C = conv.weight.abs().sum(dim=(1, 2, 3)) if norm is None else norm.weight.abs()
    importance_C = given_C * following.weight.abs().sum(dim=(0, 2, 3))
    num_groups = norm.num_groups if isinstance(norm, nn.GroupNorm) else conv.out_channels
    importance_G = importance_C.view(num_groups, -1).sum(dim=1)
    num_kept = max(1, round(num_groups * (1 - fraction)))
    # Stable: of equals the first stay.
    kept_G = importance_G.argsort(descending=True, stable=True)[:num_kept].sort().values
    return torch.arange(conv.out_channels).view(num_groups, -1)[kept_G].flatten()


def _taking(conv: nn.Conv2d, taken_C: Tensor, given_C: Tensor) -> nn.Conv2d:
    """A convolution of the same kind between some of its channels."""
    smaller = type(conv)(
        len(taken_C),
        len(given_C),
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    smaller.weight.copy_(conv.weight[given_C][:, taken_C])
    if conv.bias is not None and smaller.bias is not None:
        smaller.bias.copy_(conv.bias[given_C])
    return smaller


def _norm_of(norm: _Norm, kept_C: Tensor) -> _Norm:
    """The normalisation of the channels that stay; groups have as many channels as before."""
    if isinstance(norm, nn.GroupNorm):
        per_group = norm.num_channels // norm.num_groups
        smaller: _Norm = nn.GroupNorm(len(kept_C) // per_group, len(kept_C), norm.eps)
    else:
        smaller = nn.BatchNorm2d(len(kept_C), norm.eps, norm.momentum)
    state = {
        name: tensor[kept_C] if tensor.ndim else tensor
        for name, tensor in norm.state_dict().items()
    }
    smaller.load_state_dict(state)
    return smaller
