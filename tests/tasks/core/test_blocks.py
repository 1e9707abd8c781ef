"""The parts of convolutional nets, beside torch's own and beside their formulas."""

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tasks.core.blocks import (
    Pointwise,
    SelfAttention,
    SqueezeExcitation,
    group_norm,
    make_stages,
    num_heads,
)


@given(st.integers(1, 2048))
def test_groups_share_the_width_evenly_and_hold_four_channels(width):
    groups = group_norm(width).num_groups
    assert width % groups == 0
    assert 1 <= groups <= 32
    assert width // groups >= min(4, width)


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
def test_a_pointwise_convolution_is_that_of_torch(stride, height, width):
    torch.manual_seed(0)
    # In double precision, which oneDNN leaves to torch's own code.
    ours, theirs = (kind(2, 3, 1, stride).double() for kind in (Pointwise, nn.Conv2d))
    theirs.load_state_dict(ours.state_dict())
    x_NCHW = torch.randn(5, 2, height, width, dtype=torch.double)
    gradients = []
    for net in (ours, theirs):
        x_NCHW.requires_grad_()
        out_NCHW = net(x_NCHW)
        learnt = [x_NCHW, *net.parameters()]
        gradients.append([out_NCHW, *torch.autograd.grad(out_NCHW.square().sum(), learnt)])
    for mine, reference in zip(*gradients, strict=True):
        assert torch.allclose(mine, reference)


def test_gradients_of_a_pointwise_convolution_keep_the_memory_format():
    x_NCHW = torch.randn(2, 16, 8, 8, requires_grad=True)
    out_NCHW = Pointwise(16, 32, 1, 2)(x_NCHW.to(memory_format=torch.channels_last))
    (gradient_NCHW,) = torch.autograd.grad(out_NCHW.sum(), x_NCHW)
    assert gradient_NCHW.is_contiguous(memory_format=torch.channels_last)


@given(st.integers(1, 2048))
def test_heads_share_the_width_evenly(width):
    heads = num_heads(width)
    assert width % heads == 0
    assert width // heads >= min(32, width)


def test_self_attention_is_that_of_torch():
    torch.manual_seed(0)
    width = 64
    ours = SelfAttention(width, "none")
    theirs = nn.MultiheadAttention(width, num_heads(width), batch_first=True)
    theirs.in_proj_weight.data = ours.query_key_value.weight.data.flatten(1)
    theirs.in_proj_bias.data = ours.query_key_value.bias.data  # type: ignore[union-attr]
    theirs.out_proj.weight.data = ours.out.weight.data.flatten(1)
    theirs.out_proj.bias.data = ours.out.bias.data  # type: ignore[union-attr]
    x_NCHW = torch.randn(2, width, 3, 5)
    tokens = x_NCHW.flatten(2).transpose(1, 2)
    seen = theirs(tokens, tokens, tokens)[0].transpose(1, 2).view_as(x_NCHW)
    assert torch.allclose(ours(x_NCHW), x_NCHW + seen, atol=1e-5)


def test_self_attention_sees_the_whole_image():
    torch.manual_seed(0)
    attention = SelfAttention(8, "group")
    x_NCHW = torch.randn(1, 8, 6, 6, requires_grad=True)
    attention(x_NCHW)[0, :, 0, 0].sum().backward()
    assert x_NCHW.grad is not None
    assert (x_NCHW.grad.abs().sum(dim=1) > 0).all()


def test_excitation_weighs_whole_channels_by_their_means():
    torch.manual_seed(0)
    block = SqueezeExcitation(8)
    x_NCHW = torch.randn(3, 8, 4, 4)
    parts: Any = block.excitation
    squeeze, _, excite, _ = parts
    hidden = x_NCHW.mean(dim=(2, 3)) @ squeeze.weight.T + squeeze.bias
    hidden = hidden / (1 + torch.exp(-hidden))
    weights_NC = 1 / (1 + torch.exp(-(hidden @ excite.weight.T + excite.bias)))
    assert torch.allclose(block(x_NCHW), x_NCHW * weights_NC[:, :, None, None], atol=1e-6)
    shuffled = x_NCHW.flatten(2)[:, :, torch.randperm(16)].view_as(x_NCHW)
    assert torch.allclose(
        block(shuffled).mean(dim=(2, 3)), block(x_NCHW).mean(dim=(2, 3)), atol=1e-6
    )


def test_stages_widen_and_halve_at_their_first_block():
    made = []

    def block(num_in: int, num_out: int, stride: int) -> nn.Module:
        made.append((num_in, num_out, stride))
        return nn.Identity()

    make_stages(block, 3, [8, 16], [2, 3])
    assert made == [(3, 8, 1), (8, 8, 1), (8, 16, 2), (16, 16, 1), (16, 16, 1)]
