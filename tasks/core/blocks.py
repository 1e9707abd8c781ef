"""What convolutional nets are built of.

N images, C channels, H height, W width, T places (H · W), D width of a head, M heads
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leaky_relu": nn.LeakyReLU,
}
_HEAD_WIDTH = 32


def make_norm(normalisation: str, width: int) -> list[nn.Module]:
    if normalisation == "none":
        return []
    return [nn.BatchNorm2d(width) if normalisation == "batch" else group_norm(width)]


def group_norm(width: int) -> nn.GroupNorm:
    """The most groups up to 32 (Wu and He, Group normalization, 2018) that share the width evenly
    and hold four channels or more: one channel alone, in a map of one place, would come out as 0.
    """
    fitting = [groups for groups in range(1, 33) if width % groups == 0 and width // groups >= 4]
    return nn.GroupNorm(max(fitting, default=1), width)


def conv_norm(
    num_in: int, num_out: int, kernel: int, stride: int, normalisation: str
) -> list[nn.Module]:
    """A convolution that keeps the size (divided by the stride), and its normalisation."""
    kind = Pointwise if kernel == 1 else nn.Conv2d
    has_bias = normalisation == "none"
    conv = kind(num_in, num_out, kernel, stride, padding=kernel // 2, bias=has_bias)
    return [conv, *make_norm(normalisation, num_out)]


class Pointwise(nn.Conv2d):
    """A 1 × 1 convolution, which leaves out places before it computes rather than in passing.

    oneDNN's own stride writes beyond its memory when gradients flow back through channels_last
    images of fewer than 16 channels, an odd number of them, on two threads (torch 2.13.0).
    """

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if max(self.stride) > 1:
            # A slice would do, but its gradient is in another memory format, which slows all
            # layers before it.
            x_NCHW = F.avg_pool2d(x_NCHW, 1, self.stride)
        return F.conv2d(x_NCHW, self.weight, self.bias)


def two_convolutions(
    num_in: int,
    num_out: int,
    stride: int,
    activation: type[nn.Module],
    normalisation: str,
    dropout: float,
) -> nn.Sequential:
    """Dropout between the two (Zagoruyko and Komodakis, Wide residual networks, 2016)."""
    return nn.Sequential(
        *conv_norm(num_in, num_out, 3, stride, normalisation),
        activation(),
        *([nn.Dropout(dropout)] if dropout else []),
        *conv_norm(num_out, num_out, 3, 1, normalisation),
    )


def make_shortcut(num_in: int, num_out: int, stride: int, normalisation: str) -> nn.Module:
    if num_in == num_out and stride == 1:
        return nn.Identity()
    return nn.Sequential(*conv_norm(num_in, num_out, 1, stride, normalisation))


class Plain(nn.Module):
    """Convolutions one after the other."""

    def __init__(self, convolutions: nn.Module, attention: nn.Module, activation: nn.Module):
        super().__init__()
        self.convolutions = convolutions
        self.attention = attention
        self.activation = activation

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.activation(self.attention(self.convolutions(x_NCHW)))


class Residual(nn.Module):
    """Convolutions beside a shortcut (He et al., Deep residual learning, 2016)."""

    def __init__(
        self,
        convolutions: nn.Module,
        shortcut: nn.Module,
        attention: nn.Module,
        activation: nn.Module,
    ):
        super().__init__()
        self.convolutions = convolutions
        self.shortcut = shortcut
        self.attention = attention
        self.activation = activation

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.activation(self.attention(self.convolutions(x_NCHW)) + self.shortcut(x_NCHW))


class Dense(Plain):
    """What came in, and beside it what the convolutions make of it (Huang et al., Densely connected
    convolutional networks, 2017)."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return torch.cat([x_NCHW, super().forward(x_NCHW)], dim=1)


class SqueezeExcitation(nn.Module):
    """Weighs channels by what the whole image shows (Hu et al., Squeeze-and-excitation networks,
    2018), with the SiLU of EfficientNet (Tan and Le, 2019): of four units in a narrow net, ReLU
    may begin with all of them dead."""

    def __init__(self, width: int):
        super().__init__()
        hidden = max(width // 16, 4)
        self.excitation = nn.Sequential(
            nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, width), nn.Sigmoid()
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW * self.excitation(x_NCHW.mean(dim=(2, 3)))[:, :, None, None]


class SelfAttention(nn.Module):
    """Each place asks all others (Vaswani et al., Attention is all you need, 2017), beside a
    shortcut; where it is, the convolutions before it know."""

    def __init__(self, width: int, normalisation: str):
        super().__init__()
        self.num_heads = num_heads(width)
        self.norm = nn.Sequential(*make_norm(normalisation, width))
        self.query_key_value = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        three = self.query_key_value(self.norm(x_NCHW)).flatten(2)
        query_NMTD, key_NMTD, value_NMTD = (
            part.unflatten(1, (self.num_heads, -1)).transpose(2, 3) for part in three.chunk(3, 1)
        )
        seen_NMTD = F.scaled_dot_product_attention(query_NMTD, key_NMTD, value_NMTD)
        seen_NCT = seen_NMTD.transpose(2, 3).flatten(1, 2)
        return x_NCHW + self.out(seen_NCT.unflatten(2, x_NCHW.shape[2:]))


def num_heads(width: int) -> int:
    """The most heads of at least 32 channels that share the width evenly."""
    most = max(1, width // _HEAD_WIDTH)
    return max(heads for heads in range(1, most + 1) if width % heads == 0)


def make_stages(
    block: Callable[[int, int, int], nn.Module],
    num_in: int,
    widths: Sequence[int],
    depths: Sequence[int],
) -> nn.Sequential:
    """Blocks of (channels in, channels out, stride), each further stage at half the resolution."""
    blocks = []
    for stage, (num_out, depth) in enumerate(zip(widths, depths, strict=True)):
        for number in range(depth):
            blocks.append(block(num_in, num_out, 2 if stage > 0 and number == 0 else 1))
            num_in = num_out
    return nn.Sequential(*blocks)
