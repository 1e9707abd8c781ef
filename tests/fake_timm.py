"""A timm of few and small nets, for where the library cannot be imported. Each does what makes the
library's nets of its kind hard to take."""

import sys
from itertools import pairwise
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bn(self.conv(x)).relu()


class MobileNet(nn.Module):
    """Says the width of its last layer but one, and knows no `img_size`."""

    num_features = 4

    def __init__(self, in_chans: int, num_classes: int):
        super().__init__()
        self.conv_stem = nn.Conv2d(in_chans, 4, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.blocks = nn.Sequential(nn.Sequential(Block(4)), nn.Sequential(Block(4), Block(4)))
        self.conv_head = nn.Conv2d(4, 12, 1)
        self.act2 = nn.Hardswish()

    def forward(self, x: Tensor) -> Tensor:
        return self.act2(
            self.conv_head(self.blocks(self.bn1(self.conv_stem(x))).mean((2, 3), True))
        )[:, :, 0, 0]


class VisionTransformer(nn.Module):
    """Of images of `img_size` alone, and holds weights that lie in no module of its own."""

    num_features = 8

    def __init__(self, in_chans: int, num_classes: int, img_size: int = 224):
        super().__init__()
        self.img_size = img_size
        self.cls_token = nn.Parameter(torch.randn(1, 1, 8))
        self.patch_embed = nn.Conv2d(in_chans, 8, 4, 4)
        self.pos_embed = nn.Parameter(torch.randn(1, (img_size // 4) ** 2 + 1, 8))
        self.pos_drop = nn.Dropout(0.1)
        self.blocks = nn.Sequential(
            *(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(3))
        )
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        height = x.shape[2]
        assert height == self.img_size, f"Input height ({height}) doesn't match ({self.img_size})."
        patches = self.patch_embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], 1) + self.pos_embed
        return self.norm(self.blocks(self.pos_drop(tokens)))[:, 0]


class Vgg(nn.Module):
    """Of images of 32 pixels a side or more: of smaller ones nothing is left."""

    num_features = 4

    def __init__(self, in_chans: int, num_classes: int):
        super().__init__()
        widths = [in_chans, 4, 4, 4, 4]
        self.features = nn.Sequential(
            *(nn.Conv2d(a, b, 2, 2) for a, b in pairwise(widths)),
            nn.MaxPool2d(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).mean((2, 3))


class Places(nn.Module):
    """Gives what is seen where, instead of an embedding."""

    num_features = 4

    def __init__(self, in_chans: int, num_classes: int):
        super().__init__()
        self.conv = nn.Conv2d(in_chans, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Colour(nn.Module):
    """Cannot be built for grey images, and says so by a TypeError of its own."""

    def __init__(self, in_chans: int, num_classes: int):
        if in_chans != 3:
            raise TypeError("three channels alone")
        super().__init__()
        self.conv = nn.Conv2d(in_chans, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean((2, 3))


NETS = {
    "mobilenet": MobileNet,
    "vit": VisionTransformer,
    "vgg": Vgg,
    "places": Places,
    "colour": Colour,
}


@pytest.fixture
def fake_timm(monkeypatch) -> None:
    """`import timm` finds these nets."""
    timm = ModuleType("timm")
    vars(timm).update(
        is_model=lambda name: name in NETS,
        create_model=lambda name, **options: NETS[name](**options),
        get_pretrained_cfg_value=lambda name, _: None if name == "places" else (3, 224, 224),
    )
    monkeypatch.setitem(sys.modules, "timm", timm)
