"""The nets: an encoder of images, and a classifier on top of one.

N images, H height, W width, C channels, D width of the embedding, K classes
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tasks.core.params import Section

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


class Architecture(Section):
    """A residual net for small images: `num_stages` stages of `depth` blocks; the first stage has
    `width` channels, each further one twice as many at half the resolution."""

    width: Annotated[int, Field(ge=4, le=512)]
    depth: Annotated[int, Field(ge=1, le=20)]
    num_stages: Annotated[int, Field(ge=1, le=5)]
    activation: Literal["relu", "gelu", "silu"]

    @property
    def embedding_width(self) -> int:
        return self.width * 2 ** (self.num_stages - 1)


class Block(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut (He et al., Deep residual learning, 2016)."""

    def __init__(self, num_in: int, num_out: int, stride: int, activation: type[nn.Module]):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(num_out),
            activation(),
            nn.Conv2d(num_out, num_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(num_out),
        )
        self.shortcut = (
            nn.Identity()
            if num_in == num_out and stride == 1
            else nn.Sequential(
                nn.Conv2d(num_in, num_out, 1, stride, bias=False), nn.BatchNorm2d(num_out)
            )
        )
        self.activation = activation()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.activation(self.convolutions(x_NCHW) + self.shortcut(x_NCHW))


class Encoder(nn.Module):
    """Canonical pixels → embeddings. Normalisation is a part of the net, so that no caller can
    forget it.

    mean, std: per channel, of pixels in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture, mean: list[float], std: list[float]):
        super().__init__()
        activation = _ACTIVATIONS[architecture.activation]
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        width = architecture.width
        self.stem = nn.Sequential(
            nn.Conv2d(len(mean), width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            activation(),
        )
        blocks = []
        for stage in range(architecture.num_stages):
            for block in range(architecture.depth):
                num_out = architecture.width * 2**stage
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Block(width, num_out, stride, activation))
                width = num_out
        self.blocks = nn.Sequential(*blocks)

    def forward(self, images_NHWC: Tensor) -> Tensor:
        """uint8 (N, H, W, C) → float32 (N, D)."""
        x_NCHW = images_NHWC.permute(0, 3, 1, 2).float() / 255
        x_NCHW = (x_NCHW - self.mean) / self.std
        return self.blocks(self.stem(x_NCHW)).mean(dim=(2, 3))


class Classifier(nn.Module):
    """An encoder with a linear head."""

    def __init__(self, encoder: Encoder, embedding_width: int, num_classes: int, dropout: float):
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(embedding_width, num_classes)

    def forward(self, images_NHWC: Tensor) -> Tensor:
        """uint8 (N, H, W, C) → logits (N, K)."""
        return self.head(self.dropout(self.encoder(images_NHWC)))
