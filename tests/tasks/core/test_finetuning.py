"""Layers are found in the order of the images' way, and learn when and as fast as they are told."""

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from tasks.core.convolutional import ConvolutionalNet
from tasks.core.encoder import Classifier
from tasks.core.finetuning import Strategy, begin_epoch, find_layers, rate_fractions
from tests.nets import small_classifier


def strategy(**section) -> Strategy:
    return TypeAdapter(Strategy).validate_python(section)


FULL = strategy(name="full", encoder_rate_fraction=0.25)
FROZEN = strategy(name="frozen")
GRADUAL = strategy(name="gradual", epochs_per_layer=2)
LAYERWISE = strategy(name="layerwise", rate_decay=0.5)


def learning(net: Classifier) -> list[bool]:
    """Of each layer, and of the head; none of them learns in part."""
    found = []
    for layer in [*find_layers(net.encoder), net.head]:
        states = {parameter.requires_grad for parameter in layer.parameters()}
        assert len(states) == 1
        found.append(states.pop())
    return found


def test_layers_are_the_stem_and_the_blocks():
    encoder = small_classifier().encoder
    net = encoder.net
    assert isinstance(net, ConvolutionalNet)
    assert find_layers(encoder) == [net.stem, *net.blocks]


def test_layers_of_a_transformer_are_its_embeddings_layers_and_norm():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16)
            self.patches = nn.Linear(4, 8)
            self.inner = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
            self.norm = nn.LayerNorm(8)

    net = Net()
    assert find_layers(net) == [net.patches, *net.inner.layers, net.norm]
    assert find_layers(nn.Linear(3, 2))[0].in_features == 3
    assert find_layers(nn.ReLU()) == []


def test_gradual_opens_layers_from_the_head_down():
    net = small_classifier()
    num_layers = len(find_layers(net.encoder))
    for epoch in range(1, 2 * num_layers + 5):
        begin_epoch(net, GRADUAL, epoch, keeps_statistics=False)
        num_open = min((epoch - 1) // 2, num_layers)
        assert learning(net) == [False] * (num_layers - num_open) + [True] * (num_open + 1)


@pytest.mark.parametrize(("how", "opens"), [(FULL, True), (LAYERWISE, True), (FROZEN, False)])
def test_the_others_open_all_or_none(how, opens):
    net = small_classifier()
    for epoch in (1, 9):
        begin_epoch(net, how, epoch, keeps_statistics=False)
        assert learning(net) == [opens] * len(find_layers(net.encoder)) + [True]


@pytest.mark.parametrize("keeps", [True, False])
def test_what_does_not_learn_behaves_as_when_it_is_judged(keeps):
    net = small_classifier()
    for epoch in range(1, 9):
        net.eval()
        begin_epoch(net, GRADUAL, epoch, keeps)
        for layer, is_open in zip(find_layers(net.encoder), learning(net), strict=False):
            for module in layer.modules():
                is_norm = isinstance(module, nn.BatchNorm2d)
                assert module.training == (is_open and not (keeps and is_norm))
        assert net.head.training and net.dropout.training


def test_rates_fall_from_the_head_down():
    net = small_classifier()
    layers = find_layers(net.encoder)
    fractions = rate_fractions(net, LAYERWISE)
    named = dict(net.named_parameters())
    assert set(fractions) == {name for name in named if name.startswith("encoder.")}
    for number, layer in enumerate(layers):
        own = {id(parameter) for parameter in layer.parameters()}
        found = {fraction for name, fraction in fractions.items() if id(named[name]) in own}
        assert found == {0.5 ** (len(layers) - number)}
    assert set(rate_fractions(net, FULL).values()) == {0.25}
    assert set(rate_fractions(net, FROZEN).values()) == {1.0}


def test_what_lies_outside_the_layers_goes_with_the_first():
    net = small_classifier()
    net.encoder.token = nn.Parameter(torch.zeros(1, 4))
    fractions = rate_fractions(net, LAYERWISE)
    assert (
        fractions["encoder.token"]
        == fractions["encoder.net.stem.0.weight"]
        == min(fractions.values())
    )
    begin_epoch(net, strategy(name="gradual", epochs_per_layer=1), 2, keeps_statistics=False)
    assert not net.encoder.token.requires_grad


@pytest.mark.parametrize(
    "section",
    [
        {"name": "full"},
        {"name": "full", "encoder_rate_fraction": 0.0},
        {"name": "frozen", "rate_decay": 0.5},
        {"name": "gradual", "epochs_per_layer": 0},
        {"name": "layerwise", "rate_decay": 1.0},
        {"name": "thawed"},
    ],
)
def test_other_strategies_are_refused(section):
    with pytest.raises(ValidationError):
        strategy(**section)
