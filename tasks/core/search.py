"""What a search tries and how it judges: the form of search.yaml."""

from collections.abc import Mapping
from copy import deepcopy
from itertools import product
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tasks.core.errors import ParamsError
from tasks.core.params import Section

STAGES = ("pretrain", "finetune")
# Of a number that is drawn: what ran, is shown and is written into params.yaml is the same.
_SIGNIFICANT_DIGITS = 4


class Real(Section):
    """A number from `low` to `high`, drawn evenly, or evenly in its logarithm."""

    type: Literal["float"]
    low: float
    high: float
    log: bool

    @model_validator(mode="after")
    def _check(self) -> Self:
        return _checked(self)


class Whole(Section):
    """A whole number from `low` to `high` in steps."""

    type: Literal["int"]
    low: int
    high: int
    step: PositiveInt
    log: bool

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.log and self.step != 1:
            raise ValueError(f"step {self.step} with log: true; expected step: 1")
        return _checked(self)


class Choice(Section):
    """One of several values of any form, a whole architecture for example."""

    type: Literal["categorical"]
    choices: Annotated[list[Any], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(value in self.choices[:number] for number, value in enumerate(self.choices)):
            raise ValueError("a choice stands there twice")
        return self


def _checked(kind: Any) -> Any:
    if not kind.low < kind.high:
        raise ValueError(f"low {kind.low:g} and high {kind.high:g}; expected low < high")
    if kind.log and kind.low <= 0:
        raise ValueError(f"low {kind.low:g} with log: true; expected more than 0")
    return kind


Kind = Annotated[Real | Whole | Choice, Field(discriminator="type")]


class ByGrid(Section):
    """Every combination, in the order of the space; the last param changes first."""

    name: Literal["grid"]


class AtRandom(Section):
    name: Literal["random"]


class ByTpe(Section):
    """Tree-structured Parzen estimator (Bergstra et al., 2011), after random `startup_trials`."""

    name: Literal["tpe"]
    startup_trials: NonNegativeInt
    multivariate: bool


class NoPruner(Section):
    name: Literal["none"]


class ByMedian(Section):
    """Stops a trial that is worse than the median of the former ones at the same step, which is an
    epoch, or a fold where there are several."""

    name: Literal["median"]
    startup_trials: NonNegativeInt
    warmup_steps: NonNegativeInt


class ByHyperband(Section):
    """Li et al., 2018, with steps as in `ByMedian`."""

    name: Literal["hyperband"]
    least_steps: PositiveInt
    most_steps: PositiveInt
    reduction_factor: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def _can_stop(self) -> Self:
        if not self.least_steps < self.most_steps:
            raise ValueError(
                f"least_steps {self.least_steps} and most_steps {self.most_steps}; expected less "
                "than the most, for otherwise no trial is stopped"
            )
        return self


class Search(Section):
    """`metric` is that of val, or the mean over `num_folds` folds of the train rows (0: val).
    `space`: params of pretrain and finetune by dotted name."""

    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    num_trials: PositiveInt
    seed: NonNegativeInt
    metric: Literal["calibrated_log_loss", "balanced_accuracy", "macro_f1"]
    num_folds: Annotated[int, Field(ge=0, le=20)]
    sampler: Annotated[ByGrid | AtRandom | ByTpe, Field(discriminator="name")]
    pruner: Annotated[NoPruner | ByMedian | ByHyperband, Field(discriminator="name")]
    space: Annotated[dict[str, Kind], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.num_folds == 1:
            raise ValueError("num_folds: 1; expected 0 (val), or 2 and more")
        endless = [name for name, kind in self.space.items() if isinstance(kind, Real)]
        if self.sampler.name == "grid" and endless:
            raise ValueError(
                f"sampler grid with {endless} of type float; expected categorical or int"
            )
        return self

    @property
    def is_lower_better(self) -> bool:
        return self.metric.endswith("_loss")

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that have params in the space."""
        return tuple(stage for stage in STAGES if any(n.split(".")[0] == stage for n in self.space))


def refuse_idle_pruner(search: Search, num_epochs: int) -> None:
    """Raises ParamsError for a pruner that could stop no trial before its last step, of
    `num_epochs` where there are no folds."""
    pruner = search.pruner
    if isinstance(pruner, NoPruner):
        return
    key = "warmup_steps" if isinstance(pruner, ByMedian) else "least_steps"
    first = getattr(pruner, key)
    # Folds are counted from 0.
    last = search.num_folds - 1 if search.num_folds else num_epochs
    if first >= last:
        raise ParamsError(
            f"pruner: {key} {first}, and a trial's last step is {last}, so that none would be "
            f"stopped early; expected {key} below {last}, or {{name: none}}"
        )


def values_of(kind: Real | Whole | Choice) -> list[Any]:
    """All values of a kind that has an end."""
    assert not isinstance(kind, Real)
    return (
        kind.choices if isinstance(kind, Choice) else [*range(kind.low, kind.high + 1, kind.step)]
    )


def combinations(space: Mapping[str, Kind]) -> list[dict[str, Any]]:
    """The grid: every combination of the values, in order."""
    return [
        dict(zip(space, values, strict=True))
        for values in product(*(values_of(kind) for kind in space.values()))
    ]


def rounded(kind: Real, value: float) -> float:
    """To four significant digits, within bounds."""
    return min(max(float(f"{value:.{_SIGNIFICANT_DIGITS}g}"), kind.low), kind.high)


def holds(kind: Real | Whole | Choice, value: Any) -> bool:
    """Whether a value may be drawn."""
    if isinstance(kind, Choice):
        return value in kind.choices
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(kind, Whole):
        return isinstance(value, int) and value in range(kind.low, kind.high + 1, kind.step)
    return kind.low <= value <= kind.high and rounded(kind, value) == value


def find_value(sections: Mapping[str, Any], name: str) -> Any:
    """The value of a param by its dotted name; places in lists count from 0.

    Raises ParamsError if there is none, or the param is of no stage that can be searched.
    """
    stage, *keys = name.split(".")
    if stage not in STAGES or not keys:
        raise ParamsError(f"{name}: expected a param of {' or '.join(STAGES)}")
    place, value = stage, sections[stage]
    for key in keys:
        present = _keys(value)
        if key not in present:
            raise ParamsError(f"{name}: {place} has no {key!r}; expected one of {list(present)}")
        place, value = f"{place}.{key}", value[present[key]]
    return value


def with_values(sections: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the sections in which the params have the values; a param inside another that is
    set as well is set after it.

    Raises ParamsError if a value was given to a param that another value has done away with.
    """
    sections = deepcopy(dict(sections))
    for name in sorted(values, key=lambda one: one.count(".")):
        find_value(sections, name)
        *folders, last = name.split(".")
        place: Any = sections
        for key in folders:
            place = place[_keys(place)[key]]
        place[_keys(place)[last]] = deepcopy(values[name])
    return sections


def _keys(value: Any) -> dict[str, Any]:
    """How a dotted name calls what a value holds."""
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    return {str(key): key for key in keys}
