"""Optimisers by name, each with its own arguments.

Weight decay is decoupled for all of them: a step first takes the share `learning rate ×
weight_decay` off the weights, whatever the gradients (Loshchilov and Hutter, Decoupled weight decay
regularization, 2019). Adam has none, for with it it is AdamW; that of LARS is its own.
"""

from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from tasks.core.lars import LARS
from tasks.core.params import Section

_Share = Annotated[float, Field(ge=0, lt=1)]


class _Optimiser(Section):
    """`l1_penalty` pulls weights towards 0 and holds them there, `clip_norm` bounds the norm of all
    gradients together, `ema_decay` averages weights over steps; 0 is off."""

    learning_rate: PositiveFloat
    l1_penalty: NonNegativeFloat
    clip_norm: NonNegativeFloat
    ema_decay: _Share


class _Decaying(_Optimiser):
    weight_decay: NonNegativeFloat

    @model_validator(mode="after")
    def _keeps_signs(self) -> Self:
        if self.learning_rate * self.weight_decay >= 1:
            raise ValueError(
                f"learning_rate {self.learning_rate:g} × weight_decay {self.weight_decay:g} is the "
                "share that a step takes off the weights; expected less than 1"
            )
        return self

    @property
    def decoupled_decay(self) -> float:
        return self.weight_decay


class Sgd(_Decaying):
    """Stochastic gradient descent; `nesterov` looks ahead along the momentum (Sutskever et al., On
    the importance of initialization and momentum in deep learning, 2013)."""

    name: Literal["sgd"]
    momentum: _Share
    nesterov: bool

    @model_validator(mode="after")
    def _has_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov looks ahead along the momentum; expected momentum above 0")
        return self

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        optimiser = torch.optim.SGD(
            groups, self.learning_rate, self.momentum, nesterov=self.nesterov, fused=True
        )
        # A fused step fails where only some of its weights have learnt before, as when layers are
        # opened one after the other; a velocity of 0 is what torch begins with.
        for weight in [weight for group in groups for weight in group["params"]]:
            if self.momentum:
                optimiser.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        return optimiser


class _Adaptive(_Optimiser):
    """Steps by running means of the gradients and of their squares (Kingma and Ba, Adam, 2015)."""

    betas: Annotated[list[_Share], Field(min_length=2, max_length=2)]
    epsilon: PositiveFloat

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        first, second = self.betas
        return torch.optim.Adam(
            groups, self.learning_rate, (first, second), self.epsilon, fused=True
        )


class Adam(_Adaptive):
    name: Literal["adam"]

    @property
    def decoupled_decay(self) -> float:
        return 0.0


class AdamW(_Adaptive, _Decaying):
    name: Literal["adamw"]


class RMSprop(_Decaying):
    """Gradients by the root of a running mean of their squares, over which `alpha` forgets
    (Hinton, Neural networks for machine learning, lecture 6e, 2012)."""

    name: Literal["rmsprop"]
    alpha: _Share
    epsilon: PositiveFloat
    momentum: _Share

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(
            groups, self.learning_rate, self.alpha, self.epsilon, momentum=self.momentum
        )


class Adagrad(_Decaying):
    """Gradients by the root of the sum of all their squares (Duchi et al., Adaptive subgradient
    methods, 2011)."""

    name: Literal["adagrad"]
    epsilon: PositiveFloat

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.Adagrad(groups, self.learning_rate, eps=self.epsilon, fused=True)


class Lars(_Optimiser):
    """For large batches: see `LARS`. Its decay is a part of its step, not decoupled; biases and
    norms are neither adapted nor decayed."""

    name: Literal["lars"]
    momentum: _Share
    weight_decay: NonNegativeFloat
    trust: PositiveFloat

    @property
    def decoupled_decay(self) -> float:
        return 0.0

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        apart = [
            {
                **group,
                "is_adapted": group["are_matrices"],
                "weight_decay": self.weight_decay if group["are_matrices"] else 0.0,
            }
            for group in groups
        ]
        return LARS(apart, self.learning_rate, self.momentum, trust=self.trust)


Optimiser = Annotated[
    Sgd | Adam | AdamW | RMSprop | Adagrad | Lars,
    Field(discriminator="name"),
]
