"""A layer is a block, or what lies before, between or after blocks: of every kind of net."""

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from tasks.core.architecture import Built, Configured
from tasks.core.convolutional import ConvolutionalNet
from tasks.core.encoder import Classifier, Encoder
from tasks.core.finetuning import Gradual, Layerwise, begin_epoch, find_layers, rate_fractions
from tests.fake_timm import fake_timm as fake_timm
from tests.nets import tiny, tiny_convnext, tiny_resnet, tiny_vit

GRADUAL = Gradual(name="gradual", epochs_per_layer=1)
LAYERWISE = Layerwise(name="layerwise", rate_decay=0.5)
SIDE = 32
SIXTEEN_BLOCKS = {"embedding_size": 4, "hidden_sizes": [4, 4, 8, 8], "depths": [3, 4, 6, 3]}


def of_transformers(model_type: str, width: int, **config) -> Configured:
    config |= {"model_type": model_type, "num_channels": 1}
    return Configured(family="transformers", config=config, image_width=SIDE, embedding_width=width)


ARCHITECTURES = {
    # A stem, blocks, and for dense nets a transition at the end of each stage.
    "residual": (tiny(depth=2, num_stages=3), 1 + 6),
    "plain": (tiny(depth=2, num_stages=3, connectivity="plain", normalisation="none"), 1 + 6),
    "dense": (tiny(depth=2, num_stages=3, connectivity="dense"), 1 + 3 * (2 + 1)),
    "dense without norms": (tiny(connectivity="dense", normalisation="none"), 1 + 2 * (1 + 1)),
    "dense by groups": (
        tiny(depth=3, connectivity="dense", normalisation="group", attention="squeeze_excitation"),
        1 + 2 * (3 + 1),
    ),
    "self-attention": (tiny(connectivity="dense", attention="self_attention"), 1 + 2 * 2 + 1),
    "resnet18": (tiny_resnet(stem="large"), 1 + 8),
    "resnet34": (tiny_resnet(depth=34), 1 + 16),
    "resnet50": (tiny_resnet(depth=50), 1 + 16),
    # Embeddings, layers, and the norm after them.
    "vit": (tiny_vit(depth=3), 1 + 3 + 1),
    # All stages but the first begin with a transition.
    "convnextv2": (tiny_convnext(depths=[1, 2]), 1 + 1 + (1 + 2) + 1),
    "resnet50 of transformers": (
        of_transformers("resnet", 8, layer_type="bottleneck", **SIXTEEN_BLOCKS),
        1 + 16,
    ),
    "resnet34 of transformers": (
        of_transformers("resnet", 8, layer_type="basic", **SIXTEEN_BLOCKS),
        1 + 16,
    ),
    "regnet of transformers": (
        of_transformers("regnet", 16, embedding_size=4, hidden_sizes=[8, 16], depths=[2, 3]),
        1 + 5,
    ),
    "swin of transformers": (
        of_transformers(
            "swin",
            16,
            image_size=SIDE,
            patch_size=2,
            embed_dim=8,
            depths=[2, 1],
            num_heads=[2, 2],
            window_size=4,
        ),
        1 + 3 + 1 + 1,
    ),
    "dinov2 of transformers": (
        of_transformers(
            "dinov2",
            16,
            image_size=SIDE,
            patch_size=4,
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=2,
        ),
        1 + 3 + 1,
    ),
    # Stem, three blocks, and what widens them.
    "mobilenet of timm": ("mobilenet", 1 + 3 + 1),
    "vit of timm": ("vit", 1 + 3 + 1),
    # Convolutions in one list, none of which is a block.
    "vgg of timm": ("vgg", 1),
}
architectures = pytest.mark.parametrize("name", ARCHITECTURES)


def classifier_of(name: str) -> Classifier:
    asked = ARCHITECTURES[name][0]
    if isinstance(asked, str):
        asked = TypeAdapter(Built).validate_python({"family": "timm", "name": asked})
    torch.manual_seed(0)
    return Classifier(Encoder(asked, [0.5], [0.25], SIDE), 3, 0.0)


def numbers_of(encoder: Encoder) -> dict[nn.Module, int]:
    """The layer that each module with weights of its own belongs to."""
    return {
        module: number
        for number, layer in enumerate(find_layers(encoder))
        for module in layer.modules()
        if next(module.parameters(recurse=False), None) is not None
    }


@architectures
def test_there_are_as_many_layers_as_the_architecture_says(fake_timm, name):
    encoder = classifier_of(name).encoder
    assert len(find_layers(encoder)) == ARCHITECTURES[name][1]


@architectures
def test_each_weight_is_in_one_layer(fake_timm, name):
    net = classifier_of(name)
    encoder = net.encoder
    within = [parameter for layer in find_layers(encoder) for parameter in layer.parameters()]
    assert len(within) == len(set(within))
    outside = {name for name, weight in encoder.named_parameters() if weight not in set(within)}
    # Vision transformers of timm hold these themselves; they go with the first layer.
    assert outside == ({"net.cls_token", "net.pos_embed"} if name == "vit of timm" else set())
    fractions = rate_fractions(net, LAYERWISE)
    assert {fractions[f"encoder.{name}"] for name in outside} <= {min(fractions.values())}


@architectures
def test_layers_are_in_the_order_of_the_images_way(fake_timm, name):
    encoder = classifier_of(name).encoder.eval()
    passed: list[int] = []
    for module, number in numbers_of(encoder).items():
        module.register_forward_hook(lambda *_, number=number: passed.append(number))
    with torch.no_grad():
        encoder(torch.zeros(1, SIDE, SIDE, 1, dtype=torch.uint8))
    assert passed == sorted(passed)
    assert set(passed) == set(range(ARCHITECTURES[name][1]))


@architectures
def test_to_find_layers_leaves_the_net_as_it_is(fake_timm, name):
    encoder = classifier_of(name).encoder.eval()
    before = list(encoder.named_modules())
    find_layers(encoder)
    assert list(encoder.named_modules()) == before
    assert not any(module.training for module in encoder.modules())


@architectures
def test_any_net_opens_a_layer_a_step_and_slows_by_one_decay_a_layer(fake_timm, name):
    net = classifier_of(name)
    num_layers = ARCHITECTURES[name][1]
    for epoch in (1, 2, num_layers, num_layers + 1):
        begin_epoch(net, GRADUAL, epoch, keeps_statistics=False)
        states = [
            {weight.requires_grad for weight in layer.parameters()}
            for layer in [*find_layers(net.encoder), net.head]
        ]
        assert states == [{False}] * (num_layers + 1 - epoch) + [{True}] * epoch
    assert all(weight.requires_grad for weight in net.parameters())
    fractions = rate_fractions(net, LAYERWISE)
    assert set(fractions.values()) == {0.5**power for power in range(1, num_layers + 1)}


def test_a_transition_is_one_layer_with_all_its_parts():
    net = classifier_of("dense").encoder.net
    assert isinstance(net, ConvolutionalNet)
    layers = find_layers(net)
    blocks = list(net.blocks.children())
    assert layers[:3] == [net.stem, *blocks[:2]]
    assert list(layers[3].children()) == blocks[2:6]
    assert [type(part).__name__ for part in blocks[2:6]] == [
        "Pointwise",
        "BatchNorm2d",
        "ReLU",
        "AvgPool2d",
    ]


class Parts(nn.Module):
    """Modules by name, in this order."""

    def __init__(self, **parts: nn.Module):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def test_stacks_within_a_transition_or_a_block_are_not_taken_apart():
    def stacked() -> Parts:
        convolutions = (Parts(conv=nn.Conv2d(4, 4, 1), norm=nn.BatchNorm2d(4)) for _ in range(2))
        return Parts(within=nn.Sequential(*convolutions))

    transitions, blocks = [stacked(), stacked()], [stacked() for _ in range(4)]
    stages = [
        Parts(transition=transitions[number], blocks=nn.Sequential(*blocks[2 * number :][:2]))
        for number in range(2)
    ]
    net = Parts(stem=nn.Conv2d(1, 4, 1), stages=nn.ModuleList(stages))
    expected = [net.stem, transitions[0], *blocks[:2], transitions[1], *blocks[2:]]
    assert find_layers(net) == expected


def test_dropout_before_the_blocks_acts_once_the_first_layer_learns(fake_timm):
    net = classifier_of("vit of timm")
    dropped = net.encoder.net.get_submodule("pos_drop")
    for epoch, acts in [(5, False), (6, True)]:
        begin_epoch(net, GRADUAL, epoch, keeps_statistics=False)
        assert dropped.training is acts
