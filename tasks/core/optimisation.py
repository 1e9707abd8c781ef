"""A step of learning: gradients → weights, with all that belongs to it."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tasks.core.optimisers import Optimiser
from tasks.core.schedules import Plateau, Schedule

_WITH_WEIGHTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.MultiheadAttention)


class Optimisation:
    """What turns gradients into better weights, step by step, and can be saved between two steps.

    `optimiser` may be replaced by what wraps it.
    """

    def __init__(
        self,
        net: nn.Module,
        settings: Optimiser,
        schedule: Schedule,
        num_epochs: int,
        steps_per_epoch: int,
        rate_fractions: Mapping[str, float],
    ):
        self.net = net
        self.settings = settings
        self.schedule = schedule
        self.num_epochs, self.steps_per_epoch = num_epochs, steps_per_epoch
        self.num_steps = 0
        self.optimiser = settings.build(_groups(net, settings, rate_fractions))
        self._plateau = _plateau(self.optimiser, schedule)
        self._average = copy.deepcopy(net).requires_grad_(False) if settings.ema_decay else None
        self._set_rates()

    @property
    def learning_rate(self) -> float:
        """Of a parameter whose fraction of it is 1: of the last step, or the first if none was
        taken; after `end_epoch` of the next."""
        group = self.optimiser.param_groups[0]
        return group["lr"] / group["rate_fraction"]

    @property
    def judged_net(self) -> nn.Module:
        """The net to measure and to keep: its weights averaged over steps, if they are."""
        return self.net if self._average is None else self._average

    def step(self) -> None:
        """To be called when the gradients of a batch, or of several, have been added up.

        A weight without a gradient stays as it is.
        """
        self._set_rates()
        if self.settings.clip_norm:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.settings.clip_norm)
        self._decay()
        self.optimiser.step()
        self._shrink()
        self.optimiser.zero_grad(set_to_none=True)
        self.num_steps += 1
        if self._average is not None:
            self._add_to_average(self._average)

    def end_epoch(self, val_loss: float | None) -> None:
        """Tells the schedule what the epoch brought; None where nothing was measured."""
        if self._plateau is not None and val_loss is not None:
            self._plateau.step(val_loss)

    def state_dict(self) -> dict[str, Any]:
        """All that a resume needs beside the net's own weights."""
        return {
            "num_steps": self.num_steps,
            "optimiser": self.optimiser.state_dict(),
            "plateau": self._plateau.state_dict() if self._plateau is not None else None,
            "average": self._average.state_dict() if self._average is not None else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.num_steps = state["num_steps"]
        self.optimiser.load_state_dict(state["optimiser"])
        if self._plateau is not None:
            self._plateau.load_state_dict(state["plateau"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])

    def _set_rates(self) -> None:
        if self._plateau is not None:
            return  # which sets them itself, once an epoch
        factor = self.schedule.factor_at(self.num_steps, self.num_epochs, self.steps_per_epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = factor * group["rate_fraction"] * self.settings.learning_rate

    @torch.no_grad()
    def _decay(self) -> None:
        decay = self.settings.decoupled_decay
        for group in self.optimiser.param_groups:
            if weights := _learning(group) if decay and group["are_matrices"] else []:
                torch._foreach_mul_(weights, 1 - group["lr"] * decay)  # type: ignore[attr-defined]

    @torch.no_grad()
    def _shrink(self) -> None:
        """A proximal step: as exact as the penalty's kink, where a subgradient would leave weights
        that dither around 0 (Duchi and Singer, Efficient online and batch learning using forward
        backward splitting, 2009)."""
        penalty = self.settings.l1_penalty
        for group in self.optimiser.param_groups:
            for weight in _learning(group) if penalty and group["are_matrices"] else []:
                weight.copy_(F.softshrink(weight, group["lr"] * penalty))

    @torch.no_grad()
    def _add_to_average(self, average: nn.Module) -> None:
        """Weights and batch-norm statistics alike; at first over few steps, so that what the net
        was before them is soon forgotten (as TensorFlow's ExponentialMovingAverage)."""
        decay = min(self.settings.ema_decay, (1 + self.num_steps) / (10 + self.num_steps))
        kept, new = _tensors(average), _tensors(self.net)
        are_floats = [tensor.is_floating_point() for tensor in kept]
        olds, news = _where(are_floats, kept), _where(are_floats, new)
        torch._foreach_lerp_(olds, news, 1 - decay)  # type: ignore[attr-defined]
        for old, current, is_float in zip(kept, new, are_floats, strict=True):
            if not is_float:
                old.copy_(current)


def make_optimisation(
    net: nn.Module,
    optimiser: Optimiser,
    schedule: Schedule,
    num_epochs: int,
    steps_per_epoch: int,
    rate_fractions: Mapping[str, float] | None = None,
) -> Optimisation:
    """`rate_fractions`: of the learning rate, by the name of a parameter; 1 for those not in it."""
    return Optimisation(net, optimiser, schedule, num_epochs, steps_per_epoch, rate_fractions or {})


def find_matrices(net: nn.Module) -> set[str]:
    """Names of the parameters that penalties on weights are for: matrices and kernels that are
    multiplied with features; neither biases, nor norms, nor tokens, nor scales."""
    return {
        f"{prefix}.{name}".removeprefix(".")
        for prefix, module in net.named_modules()
        if isinstance(module, _WITH_WEIGHTS)
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.ndim > 1
    }


def _groups(
    net: nn.Module, settings: Optimiser, rate_fractions: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Parameters of the same rate and kind together."""
    matrices = find_matrices(net)
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in net.named_parameters():
        fraction, is_matrix = rate_fractions.get(name, 1.0), name in matrices
        group = groups.setdefault(
            (fraction, is_matrix),
            {
                "params": [],
                "lr": fraction * settings.learning_rate,
                "rate_fraction": fraction,
                "are_matrices": is_matrix,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def _plateau(optimiser: torch.optim.Optimizer, schedule: Schedule) -> ReduceLROnPlateau | None:
    if not isinstance(schedule, Plateau):
        return None
    return ReduceLROnPlateau(
        optimiser,
        factor=schedule.factor,
        patience=schedule.patience,
        threshold=0.0,
        eps=0.0,
    )


def _learning(group: Mapping[str, Any]) -> list[Tensor]:
    return [parameter for parameter in group["params"] if parameter.grad is not None]


def _tensors(net: nn.Module) -> list[Tensor]:
    return [*net.parameters(), *net.buffers()]


def _where(chosen: Iterable[bool], tensors: Iterable[Tensor]) -> list[Tensor]:
    return [tensor for is_chosen, tensor in zip(chosen, tensors, strict=True) if is_chosen]
