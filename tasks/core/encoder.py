"""The nets: an encoder of images, and a classifier on top of one.

N images, H height, W width, C channels, D width of the embedding, K classes
"""

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tasks.core.architecture import (
    Configured,
    ConvNeXtV2,
    Convolutional,
    Own,
    ResNet,
    Timm,
    VisionTransformer,
    check_image_size,
)
from tasks.core.convolutional import ConvolutionalNet, ResidualNet
from tasks.core.timm_net import make_timm_net, measure_timm_net
from tasks.core.transformers_net import (
    TransformersNet,
    configured_net,
    convnextv2_config,
    make_model,
    vit_config,
)


class Encoder(nn.Module):
    """Canonical pixels → embeddings. Normalisation is a part of the net, so that no caller can
    forget it.

    mean, std: per channel, of pixels in [0, 1]; of three channels for grey images where the net
    wants colour.
    image_size: of canonical images, in pixels a side.

    Raises ParamsError where the net cannot take images of this size.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, architecture: Own | Configured, mean: list[float], std: list[float], image_size: int
    ):
        super().__init__()
        check_image_size(architecture, image_size)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        self.net = make_net(architecture, len(mean), image_size)
        self.embedding_width = (
            measure_timm_net(self.net, architecture, len(mean), image_size)
            if isinstance(architecture, Timm)
            else architecture.embedding_width
        )

    def forward(self, images_NHWC: Tensor) -> Tensor:
        """uint8 (N, H, W, C) → float32 (N, D)."""
        return self.net(self._normalised(images_NHWC))

    def places(self, images_NHWC: Tensor) -> Tensor:
        """What is seen where, whose mean is the embedding: uint8 (N, H, W, C) → (N, D, h, w); a net
        that keeps no places sees all in one."""
        if isinstance(self.net, ConvolutionalNet | ResidualNet):
            return self.net.places(self._normalised(images_NHWC))
        return self(images_NHWC)[:, :, None, None]

    def _normalised(self, images_NHWC: Tensor) -> Tensor:
        x_NCHW = images_NHWC.permute(0, 3, 1, 2).float() / 255
        return (x_NCHW - self.mean) / self.std


def make_net(architecture: Own | Configured, num_channels: int, image_size: int) -> nn.Module:
    """Float (N, C, H, W) → (N, D), with fresh weights drawn from torch's generator."""
    match architecture:
        case Convolutional():
            return ConvolutionalNet(architecture, num_channels)
        case ResNet():
            return ResidualNet(architecture, num_channels)
        case VisionTransformer():
            config = vit_config(architecture, num_channels, image_size)
            return TransformersNet(make_model(config), image_width=None)
        case ConvNeXtV2():
            config = convnextv2_config(architecture, num_channels)
            return TransformersNet(make_model(config), image_width=None)
        case Configured():
            return configured_net(architecture)
        case Timm():
            return make_timm_net(architecture, num_channels, image_size)


class Classifier(nn.Module):
    """An encoder with a linear head."""

    def __init__(self, encoder: Encoder, num_classes: int, dropout: float):
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.embedding_width, num_classes)

    def forward(self, images_NHWC: Tensor) -> Tensor:
        """uint8 (N, H, W, C) → logits (N, K)."""
        return self.head(self.dropout(self.encoder(images_NHWC)))


def count_parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def count_flops(net: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Floating-point operations for one image (H, W, C): convolutions, matrix products and
    attention; a multiplication and its addition are two."""
    was_training = net.training
    net.eval()
    image_NHWC = torch.zeros((1, *image_shape), dtype=torch.uint8)
    # The processor's fused attention is not counted; its parts are.
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        net(image_NHWC)
    net.train(was_training)
    return counter.get_total_flops()
