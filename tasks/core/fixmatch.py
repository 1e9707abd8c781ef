"""FixMatch: what a net is sure of about an image without a label, it is to say of harder views of
it too (Sohn et al., FixMatch, 2020).

B labelled images of a batch, U images without labels, K classes
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from tasks.core.batches import Part
from tasks.core.params import Section
from tasks.core.policy import Transforms


class NoUnlabelled(Section):
    name: Literal["none"]


class FixMatch(Section):
    """`ratio` rows without a label beside each with one; those count whose class has a probability
    of `threshold` or more on a view by the policy of `augment`; `strong` is what is done to the
    views that learn from it, `weight` what their loss counts for."""

    name: Literal["fixmatch"]
    threshold: Annotated[float, Field(ge=0, lt=1)]
    weight: NonNegativeFloat
    ratio: PositiveInt
    strong: Annotated[Transforms, Field(min_length=1)]


Unlabelled = Annotated[NoUnlabelled | FixMatch, Field(discriminator="name")]


def fixmatch_loss(weak_UK: Tensor, strong_UK: Tensor, threshold: float) -> Tensor:
    """The mean over all images, of which unsure ones add nothing, of the cross-entropy between the
    likeliest class of the weak view and the logits of the strong one (equation 4)."""
    probability_U, label_U = F.softmax(weak_UK.detach(), dim=1).max(dim=1)
    loss_U = F.cross_entropy(strong_UK, label_U, reduction="none")
    return (loss_U * (probability_U >= threshold)).mean()


class Beside(NamedTuple):
    """Of a part of a batch, its rows without labels: `weak` and `strong` are the same rows, each in
    places of the batch of their own, so that all draws differ."""

    weak: Part
    strong: Part


def rows_beside(part: Part, unlabelled: np.ndarray, ratio: int, seed: int) -> Beside:
    """`ratio` of the unlabelled rows for each row of the part, drawn with replacement from (seed,
    epoch, batch): those of the parts of a batch are those of the batch."""
    place = [seed, part.epoch, part.number]
    # Others of its children draw what is mixed, and seed the parts.
    rng = np.random.default_rng(np.random.SeedSequence(place, spawn_key=(2,)))
    num_labelled, num_drawn = len(part.rows), ratio * len(part.rows)
    drawn = unlabelled[rng.integers(len(unlabelled), size=num_drawn)]
    rows = np.concatenate([part.rows, drawn, drawn])

    def beginning_at(place: int) -> Part:
        return part._replace(
            rows=rows, first=place + ratio * part.first, last=place + ratio * part.last
        )

    return Beside(beginning_at(num_labelled), beginning_at(num_labelled + num_drawn))


@contextmanager
def predicting(net: nn.Module) -> Iterator[None]:
    """As when it is used: nothing is dropped out, and no gradients are kept."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, was_training in modes:
            module.training = was_training


@contextmanager
def keeping_statistics(net: nn.Module) -> Iterator[None]:
    """Batch norm divides by what it sees, and does not remember it."""
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    were_tracking = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, was_tracking in zip(norms, were_tracking, strict=True):
            norm.track_running_stats = was_tracking
