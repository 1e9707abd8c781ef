"""Every net gives the shapes it promises, learns with every weight, and normalises by itself."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch.nn import functional as F

from tasks.core.encoder import Classifier, Encoder, count_flops, count_parameters
from tasks.core.errors import ParamsError
from tests.nets import FAMILIES, tiny, tiny_convnext, tiny_vit

SIDE = 16
families = pytest.mark.parametrize("family", FAMILIES)


def images(*shape: int) -> torch.Tensor:
    return torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def encoder_of(family: str, channels: int = 1, side: int = SIDE) -> Encoder:
    torch.manual_seed(0)
    return Encoder(FAMILIES[family], [0.5] * channels, [0.2] * channels, side)


@families
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 20])
def test_embeddings_have_the_promised_width(family, channels, side):
    encoder = encoder_of(family, channels, side).eval()
    width = FAMILIES[family].embedding_width
    assert encoder.embedding_width == width
    embeddings = encoder(images(3, side, side, channels))
    assert embeddings.shape == (3, width)
    assert embeddings.dtype == torch.float32
    assert torch.isfinite(embeddings).all()
    classifier = Classifier(encoder, 5, 0.1)
    assert classifier(images(2, side, side, channels)).shape == (2, 5)


@families
def test_a_row_does_not_depend_on_its_neighbours_when_judged(family):
    encoder = encoder_of(family).eval()
    pixels = images(6, SIDE, SIDE, 1)
    assert torch.allclose(encoder(pixels)[2:3], encoder(pixels[2:3]), atol=1e-5)


@families
def test_every_weight_learns(family):
    classifier = Classifier(encoder_of(family), 3, 0.0)
    F.cross_entropy(classifier(images(9, SIDE, SIDE, 1)), torch.arange(9) % 3).backward()
    idle = [
        name
        for name, parameter in classifier.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert idle == []


def learnt_bytes(family: str) -> str:
    """The weights after three steps, drawn and taught in the way of the stages."""
    classifier = Classifier(encoder_of(family), 3, 0.1)
    optimiser = torch.optim.AdamW(classifier.parameters(), 1e-3)
    for _ in range(3):
        F.cross_entropy(classifier(images(9, SIDE, SIDE, 1)), torch.arange(9) % 3).backward()
        optimiser.step()
        optimiser.zero_grad()
    return hashlib.sha256(save(classifier.state_dict())).hexdigest()


@families
def test_learning_again_gives_the_same_bytes(family):
    was = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        assert learnt_bytes(family) == learnt_bytes(family)
    finally:
        torch.use_deterministic_algorithms(was)


@families
def test_weights_are_drawn_from_torchs_generator(family):
    first, again = encoder_of(family).state_dict(), encoder_of(family).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    torch.manual_seed(1)
    other = Encoder(FAMILIES[family], [0.5], [0.2], SIDE).state_dict()
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_normalisation_lies_within():
    pixels = images(8, 9, 9, 3)
    mean, std = [0.1, 0.5, 0.9], [0.5, 0.2, 2.0]
    encoder = Encoder(tiny(), mean, std, 9).eval()
    seen = []
    encoder.net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder(pixels)
    expected = (pixels.numpy().astype(np.float64) / 255 - mean) / std
    assert np.allclose(seen[0].permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_a_net_for_colour_takes_grey_as_three_equal_channels():
    encoder = Encoder(tiny(), [0.1, 0.5, 0.9], [0.5, 0.2, 2.0], 9).eval()
    grey = images(4, 9, 9, 1)
    assert torch.equal(encoder(grey), encoder(grey.expand(-1, -1, -1, 3)))


def test_mean_and_std_travel_with_the_weights():
    first = Encoder(tiny(), [0.1], [0.3], 8).eval()
    second = Encoder(tiny(), [0.9], [0.7], 8).eval()
    second.load_state_dict(first.state_dict())
    pixels = images(2, 8, 8, 1)
    assert torch.equal(first(pixels), second(pixels))


def test_the_classifier_is_a_linear_head_on_the_encoder():
    encoder = Encoder(tiny(), [0.5], [0.2], 8)
    classifier = Classifier(encoder, 3, 0.9).eval()
    pixels = images(4, 8, 8, 1)
    expected = F.linear(encoder(pixels), classifier.head.weight, classifier.head.bias)
    assert torch.allclose(classifier(pixels), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "side", "reason"),
    [
        (tiny_vit(patch_width=16), 8, "16: images of 8 pixels a side are no whole number"),
        (tiny_vit(patch_width=5), 16, "5: images of 16 pixels a side are no whole number"),
        (tiny_convnext(patch_width=8), 8, "clean.image_size of at least 16"),
    ],
)
def test_images_that_a_net_cannot_take_are_refused(architecture, side, reason):
    with pytest.raises(ParamsError, match=reason):
        Encoder(architecture, [0.5], [0.2], side)


def test_parameters_and_flops_are_those_counted_by_hand():
    encoder = Encoder(tiny(num_stages=1, connectivity="plain"), [0.5], [0.2], 8)
    # Stem 1 → 4 and two convolutions 4 → 4, each with a norm of 2 · 4.
    assert count_parameters(encoder) == 9 * 4 + 2 * 9 * 16 + 3 * 8
    assert count_flops(encoder, (8, 8, 1)) == 2 * 8 * 8 * (9 * 4 + 2 * 9 * 16)
    assert encoder.training


def test_flops_of_attention_are_counted():
    depth, width, patches, pixels = 2, 16, 4 * 4, 4 * 4
    encoder = Encoder(tiny_vit(depth=depth, hidden_width=width), [0.5], [0.2], 16)
    tokens = patches + 1
    # Per layer query, key, value and out, and an inner layer of 4 · width; then Q · K and A · V.
    products = tokens * width * width * (4 + 8) + 2 * tokens * tokens * width
    assert count_flops(encoder, (16, 16, 1)) == 2 * (patches * pixels * width + depth * products)
