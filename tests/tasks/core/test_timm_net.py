"""Nets of timm are built for the images at hand, are as wide as what they give, and refuse in words
what is not for them."""

import pytest
import torch

from tasks.core.architecture import Timm
from tasks.core.encoder import Classifier, Encoder
from tasks.core.errors import ParamsError
from tests.fake_timm import NETS, VisionTransformer
from tests.fake_timm import fake_timm as fake_timm

REAL_WIDTHS = {
    "mobilenetv3_small_050": 1024,
    "vit_tiny_patch16_224": 192,
    "swin_tiny_patch4_window7_224": 768,
    "resnet18": 512,
}


def encoder_of(name: str, side: int, channels: int = 1) -> Encoder:
    torch.manual_seed(0)
    architecture = Timm(family="timm", name=name)
    return Encoder(architecture, [0.5] * channels, [0.2] * channels, side)


def check_shapes(encoder: Encoder, width: int, side: int, channels: int) -> None:
    assert encoder.training
    assert encoder.embedding_width == width
    images = torch.randint(0, 256, (4, side, side, channels), dtype=torch.uint8)
    assert encoder(images).shape == (4, width)
    logits = Classifier(encoder, 5, 0.0)(images)
    assert logits.shape == (4, 5)
    logits.sum().backward()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "side", "width"),
    [("mobilenet", 16, 12), ("vit", 16, 8), ("vit", 32, 8), ("vgg", 32, 4)],
)
def test_the_width_is_that_of_what_a_net_gives(fake_timm, name, side, channels, width):
    check_shapes(encoder_of(name, side, channels), width, side, channels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 32])
@pytest.mark.parametrize("name", REAL_WIDTHS)
def test_so_it_is_of_the_librarys_own_nets(name, side, channels):
    try:
        import timm  # type: ignore[import-not-found]  # noqa: F401
    # A torchvision that does not fit, for one.
    except Exception as error:
        pytest.skip(f"timm cannot be imported: {error}")
    check_shapes(encoder_of(name, side, channels), REAL_WIDTHS[name], side, channels)


@pytest.mark.parametrize(
    ("name", "side", "channels", "reason"),
    [
        ("vgg", 16, 3, r"'vgg' of timm .* 16 × 16 pixels × 3 channels \(RuntimeError: .*too small"),
        ("vgg", 8, 1, r"8 × 8 pixels × 1 channels .*clean.image_size.*made for 224 × 224 × 3"),
        ("vit", 2, 1, "RuntimeError"),
        ("places", 16, 1, r"a tensor of shape \(1, 4, 14, 14\) instead of an embedding"),
        ("colour", 16, 1, "TypeError: three channels alone"),
    ],
)
def test_images_that_a_net_cannot_take_are_refused(fake_timm, name, side, channels, reason):
    with pytest.raises(ParamsError, match=f"pretrain.architecture.name: .*{reason}"):
        encoder_of(name, side, channels)


def test_an_assertion_of_a_net_is_a_refusal_too(fake_timm, monkeypatch):
    monkeypatch.setitem(NETS, "vit", lambda img_size, **given: VisionTransformer(**given))
    with pytest.raises(ParamsError, match=r"AssertionError: Input height \(16\) doesn't match"):
        encoder_of("vit", 16)


def test_weights_have_the_librarys_names_and_are_drawn_from_torchs_generator(fake_timm):
    encoder = encoder_of("mobilenet", 16)
    torch.manual_seed(0)
    alone = NETS["mobilenet"](in_chans=1, num_classes=0).state_dict()
    found = encoder.net.state_dict()
    assert list(found) == list(alone)
    # Statistics of batch norm among them: to have been measured leaves no trace.
    assert all(torch.equal(found[name], alone[name]) for name in alone)
