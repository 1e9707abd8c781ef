"""Which layers of a pretrained net learn, when, and how fast.

A layer is what repeats in a net: a block, an attention layer; what comes before, after and between
them (a stem, a transition, a last norm) counts as one each.
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tasks.core.encoder import Classifier
from tasks.core.params import Section

_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
# A stack of stages, and the stacks of blocks in them: what is stacked deeper lies within a block,
# as the convolutions of ResNets in the transformers library do.
_DEEPEST = 2


class Full(Section):
    """All layers at once; the encoder at a share of the head's rate."""

    name: Literal["full"]
    encoder_rate_fraction: Annotated[float, Field(gt=0, le=1)]

    def num_open(self, epoch: int, num_layers: int) -> int:
        return num_layers

    def rate_fraction(self, layer: int, num_layers: int) -> float:
        return self.encoder_rate_fraction


class Frozen(Section):
    """The head alone."""

    name: Literal["frozen"]

    def num_open(self, epoch: int, num_layers: int) -> int:
        return 0

    def rate_fraction(self, layer: int, num_layers: int) -> float:
        return 1.0


class Gradual(Section):
    """The head first, then one more layer of the encoder every `epochs_per_layer` epochs, from the
    last to the first (Howard and Ruder, Universal language model fine-tuning, 2018)."""

    name: Literal["gradual"]
    epochs_per_layer: PositiveInt

    def num_open(self, epoch: int, num_layers: int) -> int:
        return min((epoch - 1) // self.epochs_per_layer, num_layers)

    def rate_fraction(self, layer: int, num_layers: int) -> float:
        return 1.0


class Layerwise(Section):
    """All layers, each at `rate_decay` times the rate of the one after it (Clark et al., ELECTRA,
    2020, appendix A)."""

    name: Literal["layerwise"]
    rate_decay: Annotated[float, Field(gt=0, lt=1)]

    def num_open(self, epoch: int, num_layers: int) -> int:
        return num_layers

    def rate_fraction(self, layer: int, num_layers: int) -> float:
        return self.rate_decay ** (num_layers - layer)


Strategy = Annotated[
    Full | Frozen | Gradual | Layerwise,
    Field(discriminator="name"),
]


def find_layers(net: nn.Module) -> list[nn.Module]:
    """The layers of a net, from the images on, in the order in which it names them. Modules that
    are one layer together come in a list of their own; the net and its names stay as they are."""
    return _layers_of(net, 0)


def rate_fractions(classifier: Classifier, strategy: Strategy) -> dict[str, float]:
    """Of the learning rate, by the name of each parameter of the encoder; what lies outside its
    layers goes with the first."""
    layers = find_layers(classifier.encoder)
    numbers = {
        parameter: number for number, layer in enumerate(layers) for parameter in layer.parameters()
    }
    return {
        f"encoder.{name}": strategy.rate_fraction(numbers.get(parameter, 0), len(layers))
        for name, parameter in classifier.encoder.named_parameters()
    }


def begin_epoch(
    classifier: Classifier, strategy: Strategy, epoch: int, keeps_statistics: bool
) -> None:
    """Into training mode, for the epoch of this number (the first is 1).

    A layer that does not learn keeps its batch-norm statistics too, and drops nothing out; with
    `keeps_statistics` no layer's statistics move.
    """
    classifier.train()
    encoder, layers = classifier.encoder, find_layers(classifier.encoder)
    num_open = strategy.num_open(epoch, len(layers))
    whole = num_open == len(layers)
    encoder.requires_grad_(whole).train(whole)
    for layer in layers[len(layers) - num_open :]:
        layer.requires_grad_(True).train()
    for module in classifier.modules() if keeps_statistics else ():
        if isinstance(module, _BatchNorm):
            module.eval()


def _layers_of(part: nn.Module, nesting: int) -> list[nn.Module]:
    """`nesting`: the number of stacks that the part lies in."""
    is_stack = _is_stack(part)
    layers, between = [], []
    for child in part.children() if nesting < _DEEPEST else ():
        if _is_block(child) if is_stack else _leads_to_blocks(child, nesting):
            layers += _as_one(between) + _layers_of(child, nesting + is_stack)
            between = []
        else:
            between.append(child)
    return layers + _as_one(between) if layers else _as_one([part])


def _leads_to_blocks(child: nn.Module, nesting: int) -> bool:
    """A net may hold its stacks at any depth, a stage holds its own at once: what a transition or
    a block is made of may be stacked too."""
    return any(map(_is_stack, child.modules())) if nesting == 0 else _is_stack(child)


def _as_one(parts: list[nn.Module]) -> list[nn.Module]:
    """A layer of these parts; none where they have no weights."""
    if all(next(part.parameters(), None) is None for part in parts):
        return []
    return parts if len(parts) == 1 else [nn.ModuleList(parts)]


def _is_stack(module: nn.Module) -> bool:
    return isinstance(module, _LISTS) and any(map(_is_block, module.children()))


def _is_block(item: nn.Module) -> bool:
    return next(item.children(), None) is not None
