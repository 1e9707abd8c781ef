"""How the learning rate moves while a net learns: a factor on the rate that was asked for."""

import math
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from tasks.core.params import Section

_Fraction = Annotated[float, Field(gt=0, lt=1)]


class Constant(Section):
    name: Literal["constant"]

    def factor_at(self, step: int, num_epochs: int, steps_per_epoch: int) -> float:
        return 1.0


class Step(Section):
    """Multiplied by `factor` when each of the epochs `after_epochs` is over."""

    name: Literal["step"]
    after_epochs: Annotated[list[PositiveInt], Field(min_length=1)]
    factor: _Fraction

    def factor_at(self, step: int, num_epochs: int, steps_per_epoch: int) -> float:
        num_over = step // steps_per_epoch
        return self.factor ** sum(after <= num_over for after in self.after_epochs)


class Cosine(Section):
    """Up linearly, then down to 0 along half a cosine (Loshchilov and Hutter, SGDR, 2017)."""

    name: Literal["cosine"]
    warmup_epochs: NonNegativeInt

    def factor_at(self, step: int, num_epochs: int, steps_per_epoch: int) -> float:
        num_warmup, num_steps = self.warmup_epochs * steps_per_epoch, num_epochs * steps_per_epoch
        if step < num_warmup:
            return (step + 1) / num_warmup
        return _half_cosine(1.0, 0.0, (step - num_warmup) / max(1, num_steps - num_warmup))


class OneCycle(Section):
    """Up from `start_fraction` of the rate to all of it along half a cosine for `rising_fraction`
    of the steps, then down to `end_fraction` (Smith and Topin, Super-convergence, 2018).

    The momentum stays as it is.
    """

    name: Literal["one_cycle"]
    rising_fraction: _Fraction
    start_fraction: _Fraction
    end_fraction: Annotated[float, Field(ge=0, lt=1)]

    def factor_at(self, step: int, num_epochs: int, steps_per_epoch: int) -> float:
        last = num_epochs * steps_per_epoch - 1
        peak = self.rising_fraction * (last + 1) - 1
        if step <= peak:
            return _half_cosine(self.start_fraction, 1.0, step / peak if peak > 0 else 1.0)
        peak = max(0.0, peak)
        return _half_cosine(1.0, self.end_fraction, (step - peak) / max(1e-9, last - peak))


class Plateau(Section):
    """Multiplied by `factor` whenever more than `patience` epochs have brought no lower calibrated
    val loss. How it moves is told by the epochs, so the factor of a step is always 1."""

    name: Literal["plateau"]
    factor: _Fraction
    patience: NonNegativeInt

    def factor_at(self, step: int, num_epochs: int, steps_per_epoch: int) -> float:
        return 1.0


Schedule = Annotated[
    Constant | Step | Cosine | OneCycle | Plateau,
    Field(discriminator="name"),
]


def refuse_unreached(schedule: Schedule, num_epochs: int) -> None:
    """Raises ValueError for a schedule of which a part would never be reached."""
    if num_epochs == 0:
        return
    if isinstance(schedule, Cosine) and schedule.warmup_epochs > num_epochs:
        raise ValueError(
            f"schedule.warmup_epochs is {schedule.warmup_epochs}, so the full rate would never be "
            f"reached; expected at most epochs ({num_epochs})"
        )
    if isinstance(schedule, Step) and max(schedule.after_epochs) >= num_epochs:
        raise ValueError(
            f"schedule.after_epochs has {max(schedule.after_epochs)}, after which no epoch comes; "
            f"expected numbers below epochs ({num_epochs})"
        )
    if isinstance(schedule, Plateau) and schedule.patience + 1 >= num_epochs:
        raise ValueError(
            f"schedule.patience is {schedule.patience}, so the rate would never fall; expected "
            f"less than epochs - 1 ({num_epochs - 1})"
        )


def _half_cosine(start: float, end: float, done_fraction: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done_fraction)))
