"""The nets give the shapes they promise, and normalise by themselves."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from tasks.core.encoder import Architecture, Classifier, Encoder


def architecture(**changed) -> Architecture:
    return Architecture(
        **{"width": 4, "depth": 1, "num_stages": 3, "activation": "relu", **changed}
    )


def images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.manual_seed(0))


@pytest.mark.parametrize(
    ("changed", "width"),
    [
        ({}, 16),
        ({"num_stages": 1}, 4),
        ({"num_stages": 5, "depth": 2}, 64),
        ({"width": 6, "num_stages": 2, "depth": 3, "activation": "gelu"}, 12),
        ({"activation": "silu"}, 16),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_embeddings_have_the_promised_width(changed, width, channels):
    built = architecture(**changed)
    assert built.embedding_width == width
    encoder = Encoder(built, [0.5] * channels, [0.2] * channels)
    for size in (7, 16):
        embeddings = encoder(images(3, size, size, channels))
        assert embeddings.shape == (3, width)
        assert embeddings.dtype == torch.float32
        assert torch.isfinite(embeddings).all()
    classifier = Classifier(encoder, width, 5, 0.1)
    assert classifier(images(2, 16, 16, channels)).shape == (2, 5)


def test_deeper_and_wider_nets_have_more_to_learn():
    def size(built):
        return sum(p.numel() for p in Encoder(built, [0.5], [0.2]).parameters())

    assert size(architecture()) < size(architecture(depth=2)) < size(architecture(depth=2, width=8))


def test_each_further_stage_halves_the_resolution():
    encoder = Encoder(architecture(num_stages=3), [0.5], [0.2])
    features = encoder.blocks(encoder.stem(torch.zeros(1, 1, 16, 16)))
    assert features.shape == (1, 16, 4, 4)


def test_normalisation_lies_within():
    pixels = images(8, 9, 9, 3)
    mean, std = [0.1, 0.5, 0.9], [0.5, 0.2, 2.0]
    encoder = Encoder(architecture(), mean, std).eval()
    seen = []
    encoder.stem[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder(pixels)
    expected = (pixels.numpy().astype(np.float64) / 255 - mean) / std
    assert np.allclose(seen[0].permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_mean_and_std_travel_with_the_weights():
    first = Encoder(architecture(), [0.1], [0.3]).eval()
    second = Encoder(architecture(), [0.9], [0.7]).eval()
    second.load_state_dict(first.state_dict())
    pixels = images(2, 8, 8, 1)
    assert torch.equal(first(pixels), second(pixels))


def test_a_row_does_not_depend_on_its_neighbours_when_judged():
    encoder = Encoder(architecture(), [0.5], [0.2]).eval()
    pixels = images(6, 8, 8, 1)
    assert torch.allclose(encoder(pixels)[2:3], encoder(pixels[2:3]), atol=1e-6)


def test_the_classifier_is_a_linear_head_on_the_encoder():
    encoder = Encoder(architecture(), [0.5], [0.2])
    classifier = Classifier(encoder, 16, 3, 0.9).eval()
    pixels = images(4, 8, 8, 1)
    expected = F.linear(encoder(pixels), classifier.head.weight, classifier.head.bias)
    assert torch.allclose(classifier(pixels), expected, atol=1e-6)


def test_every_weight_learns():
    classifier = Classifier(Encoder(architecture(depth=2), [0.5], [0.2]), 16, 3, 0.0)
    F.cross_entropy(classifier(images(9, 8, 8, 1)), torch.arange(9) % 3).backward()
    idle = [
        name
        for name, parameter in classifier.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert idle == []


@pytest.mark.parametrize(
    "wrong",
    [{"width": 2}, {"width": 1000}, {"depth": 0}, {"num_stages": 6}, {"activation": "tanh"},
     {"width": "8"}, {"width": 8.5}, {"heads": 4}],
)  # fmt: skip
def test_other_architectures_are_refused(wrong):
    with pytest.raises(ValidationError):
        architecture(**wrong)
