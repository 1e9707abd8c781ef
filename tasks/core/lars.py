"""LARS: stochastic gradient descent whose rate each layer scales, for large batches.

You, Gitman and Ginsburg (Large batch training of convolutional networks, 2017).
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class LARS(Optimizer):
    """Algorithm 1 of the paper: a step of a weight matrix is as long as `trust` of the matrix
    itself, times the learning rate. Groups with `is_adapted` False step as SGD with momentum."""

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust": trust,
            "is_adapted": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._step(weight, group)
        return loss

    def _step(self, weight: Tensor, group: dict[str, Any]) -> None:
        direction = weight.grad + group["weight_decay"] * weight
        if group["is_adapted"]:
            direction = direction * _local_rate(weight, group)
        state = self.state[weight]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(weight)
        velocity = state["velocity"]
        velocity.mul_(group["momentum"]).add_(group["lr"] * direction)
        weight.sub_(velocity)


def _local_rate(weight: Tensor, group: dict[str, Any]) -> Tensor:
    assert weight.grad is not None
    length, pull = weight.norm(), weight.grad.norm() + group["weight_decay"] * weight.norm()
    # A weight or a gradient of 0 has no scale to follow.
    has_scale = (length > 0) & (pull > 0)
    return torch.where(has_scale, group["trust"] * length / pull.clamp_min(1e-30), 1.0)
