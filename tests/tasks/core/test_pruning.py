"""Channels that give nothing can go and nothing changes; those that matter most stay."""

import copy
import itertools

import pytest
import torch
from torch import nn

from tasks.core.blocks import Plain, Residual
from tasks.core.encoder import Classifier, count_flops, count_parameters
from tasks.core.errors import ParamsError
from tasks.core.pruning import prune_blocks
from tests.exported import PIXELS, SHAPE, new_classifier
from tests.nets import FAMILIES, tiny, tiny_resnet

IMAGES = torch.from_numpy(PIXELS)
NETS = {
    "plain without norms": tiny(connectivity="plain", normalisation="none", width=8),
    "squeeze and excitation": tiny(attention="squeeze_excitation", width=8),
    "residual with dropout": tiny(dropout=0.3, width=8),
    "dense in groups": tiny(
        connectivity="dense", normalisation="group", attention="self_attention", width=16
    ),
    "gelu": tiny(activation="gelu", width=8, depth=2),
    "resnet18": tiny_resnet(width=8),
    "resnet50": tiny_resnet(depth=50, width=8),
}


def block_convolutions(net: Classifier) -> list[list[nn.Module]]:
    blocks = [part for part in net.modules() if isinstance(part, Plain | Residual)]
    return [list(block.convolutions.children()) for block in blocks]


def inner(net: Classifier) -> list[tuple[nn.Conv2d, nn.Module, nn.Conv2d]]:
    """A convolution within a block, what follows it at once, and the next convolution."""
    found = []
    for layers in block_convolutions(net):
        places = [n for n, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
        found += [(layers[a], layers[a + 1], layers[b]) for a, b in itertools.pairwise(places)]
    return found


@torch.no_grad()
def silence(net: Classifier) -> None:
    """Makes every second channel (under group norm, every second group) give nothing."""
    for conv, norm, _ in inner(net):
        channels = torch.arange(conv.out_channels)
        if isinstance(norm, nn.GroupNorm):
            channels //= norm.num_channels // norm.num_groups
        silent = channels % 2 == 1
        if isinstance(norm, nn.BatchNorm2d | nn.GroupNorm):
            norm.weight[silent] = 0
            norm.bias[silent] = 0
        else:
            conv.weight[silent] = 0
            assert conv.bias is not None
            conv.bias[silent] = 0


@pytest.mark.parametrize("name", NETS)
def test_what_gives_nothing_goes_and_the_net_says_what_it_said(name):
    net = new_classifier(NETS[name])
    silence(net)
    pruned = prune_blocks(net, 0.5).eval()
    with torch.inference_mode():
        assert torch.allclose(pruned(IMAGES), net(IMAGES), atol=1e-5)
    for (conv, norm, _), (fewer, fewer_norm, fed) in zip(inner(net), inner(pruned), strict=True):
        groups = norm.num_groups if isinstance(norm, nn.GroupNorm) else conv.out_channels
        kept = conv.out_channels * max(1, round(groups / 2)) // groups
        assert (fewer.out_channels, fed.in_channels) == (kept, kept)
        assert type(fewer) is type(conv) and type(fewer_norm) is type(norm)


def test_blocks_keep_their_widths():
    net = new_classifier(NETS["resnet50"])
    pruned = prune_blocks(net, 0.5)
    for before, after in zip(block_convolutions(net), block_convolutions(pruned), strict=True):
        first, last = (
            [n for n in layers if isinstance(n, nn.Conv2d)] for layers in (before, after)
        )
        assert last[0].in_channels == first[0].in_channels
        assert last[-1].out_channels == first[-1].out_channels


@pytest.mark.parametrize("name", NETS)
def test_it_can_learn_and_the_original_stays_as_it_is(name):
    net = new_classifier(NETS[name])
    before = copy.deepcopy(net.state_dict())
    pruned = prune_blocks(net, 0.5).train()
    pruned(IMAGES).sum().backward()
    assert all(one.grad is not None for one in pruned.parameters())
    after = net.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert count_parameters(pruned) < count_parameters(net)


def test_half_the_channels_are_nearly_half_the_operations():
    net = new_classifier(tiny(width=16, num_stages=3))
    assert count_flops(prune_blocks(net, 0.5), SHAPE) < 0.6 * count_flops(net, SHAPE)
    costs = [count_flops(prune_blocks(net, share), SHAPE) for share in (0.1, 0.5, 0.9)]
    assert costs == sorted(costs, reverse=True) and len(set(costs)) == 3


def test_one_channel_stays_at_the_least():
    pruned = prune_blocks(new_classifier(FAMILIES["residual"]), 0.999).eval()
    assert {conv.out_channels for conv, *_ in inner(pruned)} == {1}
    assert pruned(IMAGES).isfinite().all()


@pytest.mark.parametrize("family", ["vit", "convnextv2"])
def test_nets_without_blocks_of_convolutions_are_refused(family):
    with pytest.raises(ParamsError, match=r"export.variants: pruned .* TransformersNet has none"):
        prune_blocks(new_classifier(FAMILIES[family]), 0.5)
