"""Methods of learning an encoder without labels, by name."""

from typing import Annotated

from pydantic import Field

from tasks.core.encoder import Encoder
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
    method: Method, encoder: Encoder, image_shape: tuple[int, int, int]
) -> SelfSupervised:
    """The net that teaches `encoder`, fresh weights drawn from torch's generator.

    image_shape: (H, W, C). Raises ParamsError for an encoder that the method cannot teach.
    """
    if isinstance(method, Masked):
        return MaskedNet(method, encoder, image_shape)
    match method:
        case SimClr():
            return SimClrNet(method, encoder)
        case Moco():
            return MocoNet(method, encoder)
        case Byol():
            return ByolNet(method, encoder)
        case SimSiam():
            return SimSiamNet(method, encoder)
        case BarlowTwins():
            return BarlowTwinsNet(method, encoder)
        case VicReg():
            return VicRegNet(method, encoder)
