"""Learning rates over time."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR


class Optimisation(NamedTuple):
    """An optimiser, and the schedule of its learning rate, stepped after every batch."""

    optimiser: AdamW
    schedule: LambdaLR


def make_optimisation(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    weight_decay: float,
    num_steps: int,
    num_warmup_steps: int,
) -> Optimisation:
    """AdamW (Loshchilov and Hutter, Decoupled weight decay regularization, 2019) whose rate
    follows `cosine_with_warmup` up to `learning_rate`."""
    optimiser = AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)
    schedule = LambdaLR(
        optimiser, lambda step: cosine_with_warmup(step, num_steps, num_warmup_steps)
    )
    return Optimisation(optimiser, schedule)


def cosine_with_warmup(step: int, num_steps: int, num_warmup_steps: int) -> float:
    """A factor on the learning rate: up linearly, then down to 0 along half a cosine
    (Loshchilov and Hutter, SGDR, 2017)."""
    if step < num_warmup_steps:
        return (step + 1) / num_warmup_steps
    done = (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
