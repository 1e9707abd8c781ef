"""The convolutional net for small images, and ResNet.

N images, C channels, H height, W width, D width of the embedding
"""

from functools import partial

from torch import Tensor, nn

from tasks.core.architecture import Convolutional, ResNet
from tasks.core.blocks import (
    ACTIVATIONS,
    Dense,
    Plain,
    Residual,
    SelfAttention,
    SqueezeExcitation,
    conv_norm,
    make_shortcut,
    make_stages,
    two_convolutions,
)

_RESNET_DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class ConvolutionalNet(nn.Module):
    """Stem, blocks, attention where it is asked for, and the mean over all places.

    Float (N, C, H, W) → (N, D), for any H and W.
    """

    def __init__(self, architecture: Convolutional, num_channels: int):
        super().__init__()
        width, normalisation = architecture.width, architecture.normalisation
        self.stem = nn.Sequential(
            *conv_norm(num_channels, width, 3, 1, normalisation),
            ACTIVATIONS[architecture.activation](),
        )
        if architecture.connectivity == "dense":
            self.blocks = _dense_stages(architecture)
        else:
            widths = [width * 2**stage for stage in range(architecture.num_stages)]
            depths = [architecture.depth] * architecture.num_stages
            self.blocks = make_stages(partial(_block, architecture), width, widths, depths)
        self.attention = (
            SelfAttention(architecture.embedding_width, normalisation)
            if architecture.attention == "self_attention"
            else nn.Identity()
        )
        if normalisation == "none":
            _keep_scale(self)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.places(x_NCHW).mean(dim=(2, 3))

    def places(self, x_NCHW: Tensor) -> Tensor:
        """What is seen where: (N, D, h, w)."""
        return self.attention(self.blocks(self.stem(x_NCHW)))


def _block(architecture: Convolutional, num_in: int, num_out: int, stride: int) -> nn.Module:
    activation, normalisation = ACTIVATIONS[architecture.activation], architecture.normalisation
    convolutions = two_convolutions(
        num_in, num_out, stride, activation, normalisation, architecture.dropout
    )
    if architecture.connectivity == "residual":
        shortcut = make_shortcut(num_in, num_out, stride, normalisation)
        return Residual(convolutions, shortcut, _attention(architecture, num_out), activation())
    kind = Dense if architecture.connectivity == "dense" else Plain
    return kind(convolutions, _attention(architecture, num_out), activation())


def _attention(architecture: Convolutional, width: int) -> nn.Module:
    if architecture.attention == "squeeze_excitation":
        return SqueezeExcitation(width)
    return nn.Identity()


def _dense_stages(architecture: Convolutional) -> nn.Sequential:
    """Each block adds half of its stage's width; a transition brings the stage to that width, and
    all but the last to half the resolution."""
    layers, num_in = [], architecture.width
    for stage in range(architecture.num_stages):
        width = architecture.width * 2**stage
        for _ in range(architecture.depth):
            layers.append(_block(architecture, num_in, width // 2, 1))
            num_in += width // 2
        layers += conv_norm(num_in, width, 1, 1, architecture.normalisation)
        layers.append(ACTIVATIONS[architecture.activation]())
        if stage + 1 < architecture.num_stages:
            layers.append(nn.AvgPool2d(2, ceil_mode=True))
        num_in = width
    return nn.Sequential(*layers)


def _keep_scale(net: nn.Module) -> None:
    """Without norms it is for the weights to keep activations of one scale from layer to layer: He
    et al. (Delving deep into rectifiers, 2015), and by 1/√(blocks) where residuals add up (Hayou et
    al., Stable ResNet, 2021)."""
    residuals = [module for module in net.modules() if isinstance(module, Residual)]
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    for residual in residuals:
        last = [m for m in residual.convolutions.modules() if isinstance(m, nn.Conv2d)][-1]
        last.weight.data *= len(residuals) ** -0.5


class ResidualNet(nn.Module):
    """ResNet without its head (He et al., 2016), stride in the 3 × 3 convolution of a bottleneck.

    Float (N, C, H, W) → (N, D).
    """

    def __init__(self, architecture: ResNet, num_channels: int):
        super().__init__()
        width = architecture.width
        kernel, stride = (3, 1) if architecture.stem == "small" else (7, 2)
        self.stem = nn.Sequential(
            *conv_norm(num_channels, width, kernel, stride, "batch"),
            nn.ReLU(),
            *([nn.MaxPool2d(3, 2, padding=1)] if architecture.stem == "large" else []),
        )
        grown = 4 if architecture.has_bottlenecks else 1
        self.blocks = make_stages(
            _bottleneck if architecture.has_bottlenecks else _basic,
            width,
            [width * grown * 2**stage for stage in range(4)],
            _RESNET_DEPTHS[architecture.depth],
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.places(x_NCHW).mean(dim=(2, 3))

    def places(self, x_NCHW: Tensor) -> Tensor:
        """What is seen where: (N, D, h, w)."""
        return self.blocks(self.stem(x_NCHW))


def _basic(num_in: int, num_out: int, stride: int) -> Residual:
    convolutions = two_convolutions(num_in, num_out, stride, nn.ReLU, "batch", 0.0)
    shortcut = make_shortcut(num_in, num_out, stride, "batch")
    return Residual(convolutions, shortcut, nn.Identity(), nn.ReLU())


def _bottleneck(num_in: int, num_out: int, stride: int) -> Residual:
    narrow = num_out // 4
    convolutions = nn.Sequential(
        *conv_norm(num_in, narrow, 1, 1, "batch"),
        nn.ReLU(),
        *conv_norm(narrow, narrow, 3, stride, "batch"),
        nn.ReLU(),
        *conv_norm(narrow, num_out, 1, 1, "batch"),
    )
    shortcut = make_shortcut(num_in, num_out, stride, "batch")
    return Residual(convolutions, shortcut, nn.Identity(), nn.ReLU())
