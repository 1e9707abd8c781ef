"""Every combination of the small net works, the first of them is the net of before, and ResNet is
the published one."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from tasks.core.convolutional import ConvolutionalNet, ResidualNet
from tests.nets import tiny, tiny_resnet

CHOICES = {
    "connectivity": ("plain", "residual", "dense"),
    "attention": ("none", "squeeze_excitation", "self_attention"),
    "normalisation": ("batch", "group", "none"),
    "activation": ("relu", "gelu", "silu", "leaky_relu"),
    "dropout": (0.0, 0.3),
}
COMBINATIONS = [
    dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())
]


def x_of(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("changed", COMBINATIONS, ids=lambda one: "-".join(map(str, one.values())))
def test_every_combination(changed):
    torch.manual_seed(0)
    built = tiny(width=6, depth=2, num_stages=2, **changed)
    net = ConvolutionalNet(built, num_channels=2)
    x_NCHW = x_of(5, 2, 9, 7)
    learnt = net(x_NCHW)
    assert learnt.shape == (5, built.embedding_width) == (5, 12)
    learnt.square().sum().backward()
    idle = [
        name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert idle == []
    net.eval()
    judged = net(x_NCHW)
    assert torch.isfinite(judged).all()
    assert torch.equal(judged, net(x_NCHW))
    assert torch.allclose(judged[3:4], net(x_NCHW[3:4]), atol=1e-5)


@pytest.mark.parametrize("connectivity", CHOICES["connectivity"])
@pytest.mark.parametrize("width", [4, 7, 9, 10])
def test_any_width_takes_group_norm(connectivity, width):
    built = tiny(width=width, num_stages=3, connectivity=connectivity, normalisation="group")
    net = ConvolutionalNet(built, num_channels=1)
    for side in (1, 4, 7):
        embeddings = net(x_of(2, 1, side, side))
        assert embeddings.shape == (2, width * 4)
        assert torch.isfinite(embeddings).all()


@pytest.mark.parametrize("connectivity", CHOICES["connectivity"])
def test_dropout_acts_while_learning_alone(connectivity):
    torch.manual_seed(0)
    net = ConvolutionalNet(tiny(connectivity=connectivity, dropout=0.5), num_channels=1)
    x_NCHW = x_of(4, 1, 8, 8)
    assert not torch.equal(net(x_NCHW), net(x_NCHW))
    net.eval()
    assert torch.equal(net(x_NCHW), net(x_NCHW))


@pytest.mark.parametrize("connectivity", CHOICES["connectivity"])
def test_a_deep_net_without_norms_keeps_its_scale(connectivity):
    torch.manual_seed(0)
    built = tiny(width=16, depth=20, num_stages=2, normalisation="none", connectivity=connectivity)
    embeddings = ConvolutionalNet(built, num_channels=3)(x_of(4, 3, 8, 8))
    assert 1e-3 < embeddings.std() < 1e2


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda x: torch.where(x > 0, x, 0.0),
    "gelu": lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2,
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.01 * x),
}


class Normed(nn.Module):
    """A convolution and its batch norm."""

    def __init__(self, num_in: int, num_out: int, width: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(num_in, num_out, width, stride, padding=width // 2, bias=False)
        self.norm = nn.BatchNorm2d(num_out)

    def forward(self, x):
        return self.norm(self.conv(x))


class WrittenOut(nn.Module):
    """The net of two stages of two blocks, four channels wide, weights drawn from front to back."""

    def __init__(self, connectivity: str, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.connectivity, self.function = connectivity, function
        self.stem = Normed(3, 4, 3)
        sizes = {
            "plain": [(4, 4, 1), (4, 4, 1), (4, 8, 2), (8, 8, 1)],
            "residual": [(4, 4, 1), (4, 4, 1), (4, 8, 2), (8, 8, 1)],
            "dense": [(4, 2, 1), (6, 2, 1), (8, 4, 1), (4, 4, 1), (8, 4, 1), (12, 8, 1)],
        }[connectivity]
        self.parts = nn.ModuleList()
        for number, (num_in, num_out, stride) in enumerate(sizes):
            if connectivity == "dense" and number % 3 == 2:
                layers = {"transition": Normed(num_in, num_out, 1)}
            else:
                layers = {
                    "one": Normed(num_in, num_out, 3, stride),
                    "two": Normed(num_out, num_out, 3),
                }
                if connectivity == "residual" and stride > 1:
                    layers["aside"] = Normed(num_in, num_out, 1, stride)
            self.parts.append(nn.ModuleDict(layers))

    def forward(self, x):
        act = self.function
        x = act(self.stem(x))
        parts: Any = self.parts
        for number, part in enumerate(parts):
            if "transition" in part:
                x = act(part["transition"](x))
                x = halved(x) if number < 3 else x
                continue
            y = part["two"](act(part["one"](x)))
            if self.connectivity == "plain":
                x = act(y)
            elif self.connectivity == "residual":
                x = act(y + (part["aside"](x) if "aside" in part else x))
            else:
                x = torch.cat([x, act(y)], dim=1)
        return x.mean(dim=(2, 3))


def halved(x: Tensor) -> Tensor:
    """Means of 2 × 2 places; at an odd edge, of those that there are."""
    height, width = x.shape[2:]
    even = nn.functional.pad(x, (0, width % 2, 0, height % 2), value=torch.nan)
    return even.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).nanmean(dim=(3, 5))


@pytest.mark.parametrize("connectivity", CHOICES["connectivity"])
@pytest.mark.parametrize("activation", CHOICES["activation"])
def test_the_net_is_the_one_written_out(connectivity, activation):
    """In double precision: which kernel computes it, and so the last bit, hangs on the threads."""
    torch.manual_seed(0)
    expected = WrittenOut(connectivity, FUNCTIONS[activation]).double()
    torch.manual_seed(0)
    built = tiny(depth=2, connectivity=connectivity, activation=activation)
    net = ConvolutionalNet(built, num_channels=3).double()
    x_NCHW = x_of(6, 3, 9, 9).double()
    for _ in range(2):
        outs = expected(x_NCHW), net(x_NCHW)
        assert_close(*outs, rtol=1e-12, atol=1e-13)
        for out in outs:
            out.square().sum().backward()
        with torch.no_grad():
            for p in (*expected.parameters(), *net.parameters()):
                assert p.grad is not None
                p -= 0.01 * p.grad
    outs = expected.eval()(x_NCHW), net.eval()(x_NCHW)
    assert_close(*outs, rtol=1e-12, atol=1e-13)


def test_each_further_stage_halves_the_resolution():
    for connectivity in CHOICES["connectivity"]:
        net = ConvolutionalNet(tiny(num_stages=3, connectivity=connectivity), num_channels=1)
        assert net.blocks(net.stem(torch.zeros(1, 1, 16, 16))).shape == (1, 16, 4, 4)


@pytest.mark.parametrize(
    ("depth", "published", "head"),
    # torchvision.models.resnet18, 34, 50; their heads tell 1000 classes apart.
    [(18, 11_689_512, 513_000), (34, 21_797_672, 513_000), (50, 25_557_032, 2_049_000)],
)
def test_resnets_are_of_the_published_size(depth, published, head):
    with torch.device("meta"):
        net = ResidualNet(tiny_resnet(depth=depth, stem="large", width=64), num_channels=3)
    assert sum(p.numel() for p in net.parameters()) == published - head


@pytest.mark.parametrize(
    ("stem", "side", "left"), [("small", 16, 2), ("large", 64, 2), ("large", 16, 1)]
)
def test_stems_of_resnet(stem, side, left):
    net = ResidualNet(tiny_resnet(stem=stem), num_channels=1)
    assert net.blocks(net.stem(torch.zeros(2, 1, side, side))).shape == (2, 32, left, left)


@pytest.mark.parametrize(("depth", "kind"), [(18, "basic"), (34, "basic"), (50, "bottleneck")])
def test_resnets_are_those_of_transformers(depth, kind):
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(0)
    ours = ResidualNet(tiny_resnet(depth=depth, stem="large"), num_channels=3)
    grown = 4 if kind == "bottleneck" else 1
    depths = [2, 2, 2, 2] if depth == 18 else [3, 4, 6, 3]
    config = ResNetConfig(
        embedding_size=4,
        hidden_sizes=[4 * grown * 2**stage for stage in range(4)],
        depths=depths,
        layer_type=kind,
    )
    theirs: Any = ResNetModel(config)
    places = [(stage, block) for stage, count in enumerate(depths) for block in range(count)]
    pairs: list[tuple[Any, Any]] = [(ours.stem, theirs.embedder)]
    blocks: Any = ours.blocks
    for mine, (stage, block) in zip(blocks, places, strict=True):
        layer = theirs.encoder.stages[stage].layers[block]
        pairs += [(mine.convolutions, layer.layer), (mine.shortcut, layer.shortcut)]
    for mine, other in pairs:
        values = zip(mine.state_dict().values(), other.state_dict().values(), strict=True)
        for target, value in values:
            value.copy_(target)
    x_NCHW = x_of(3, 3, 64, 64)
    for net in (ours.train(), ours.eval()):
        theirs.train(net.training)
        expected = theirs(x_NCHW).pooler_output.flatten(1)
        assert torch.allclose(net(x_NCHW), expected, atol=1e-5)
