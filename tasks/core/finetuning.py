"""Which layers of a pretrained net learn, when, and how fast.

A layer is what repeats in a net: a block, an attention layer; what comes before and after them
counts as one each.
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tasks.core.encoder import Classifier
from tasks.core.params import Section


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
    """The layers of a net, from the images on: what is stacked is taken apart."""
    if not any(_is_stack(part) for part in net.modules()):
        return [net] if next(net.parameters(), None) is not None else []
    return [layer for child in net.children() for layer in find_layers(child)]


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


def _is_stack(module: nn.Module) -> bool:
    is_list = isinstance(module, nn.Sequential | nn.ModuleList)
    return is_list and any(len(list(item.children())) for item in module.children())
