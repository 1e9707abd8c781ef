"""Methods of learning an encoder without labels, by name."""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from tasks.core.masked import Masked, MaskedNet
from tasks.core.self_supervised import SelfSupervised
from tasks.core.siamese import (
    BarlowTwins,
    BarlowTwinsNet,
    SimClr,
    SimClrNet,
    SimSiam,
    SimSiamNet,
    VicReg,
    VicRegNet,
)
from tasks.core.teachers import Byol, ByolNet, Moco, MocoNet

Method = Annotated[
    SimClr | Moco | Byol | SimSiam | BarlowTwins | VicReg | Masked, Field(discriminator="name")
]


def make_method(
    method: Method, encoder: nn.Module, image_shape: tuple[int, int, int]
) -> SelfSupervised:
    """The net that teaches `encoder`, fresh weights drawn from torch's generator.

    image_shape: (H, W, C). Raises ParamsError for an encoder that the method cannot teach.
    """
    if isinstance(method, Masked):
        return MaskedNet(method, encoder, image_shape)
    width = embedding_width(encoder, image_shape)
    match method:
        case SimClr():
            return SimClrNet(method, encoder, width)
        case Moco():
            return MocoNet(method, encoder, width)
        case Byol():
            return ByolNet(method, encoder, width)
        case SimSiam():
            return SimSiamNet(method, encoder, width)
        case BarlowTwins():
            return BarlowTwinsNet(method, encoder, width)
        case VicReg():
            return VicRegNet(method, encoder, width)


def embedding_width(encoder: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Asked of the encoder itself, whatever its architecture."""
    was_training = encoder.training
    encoder.eval()
    with torch.no_grad():
        embedding_1D = encoder(torch.zeros(1, *image_shape, dtype=torch.uint8))
    encoder.train(was_training)
    return embedding_1D.shape[1]
