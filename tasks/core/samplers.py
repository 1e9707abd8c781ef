"""How the next trial is chosen: Optuna's samplers and pruners, by the params of a search.

A draw depends on the seed, the trial's place in the study and the trials before it, and on nothing
that a process remembers: a study that was killed and goes on draws what it would have drawn.
"""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from tasks.core.search import (
    ByGrid,
    ByHyperband,
    ByMedian,
    ByTpe,
    Choice,
    Kind,
    Real,
    Search,
    Whole,
    combinations,
    rounded,
)

# User attributes of a trial that counts as no draw: it repeats the one of that number, has the
# present values, or was one too many, as two workers began it at the same moment.
RETRY_OF, IS_PRESENT, IS_SURPLUS = "retry_of", "is_present", "is_surplus"
# Why it was refused.
REASON = "reason"


def draw(trial: Trial, space: Mapping[str, Kind]) -> dict[str, Any]:
    """The trial's values, by the names of the space."""
    return {name: decoded(kind, _suggest(trial, name, kind)) for name, kind in space.items()}


def _suggest(trial: Trial, name: str, kind: Kind) -> Any:
    match kind:
        case Real():
            return trial.suggest_float(name, kind.low, kind.high, log=kind.log)
        case Whole():
            return trial.suggest_int(name, kind.low, kind.high, step=kind.step, log=kind.log)
        case Choice():
            # Optuna keeps no lists and mappings.
            return trial.suggest_categorical(name, [_label(value) for value in kind.choices])


def encoded(kind: Kind, value: Any) -> Any:
    """A value as Optuna has it."""
    return _label(value) if isinstance(kind, Choice) else value


def decoded(kind: Kind, drawn: Any) -> Any:
    """The value that Optuna's stands for, numbers rounded."""
    if isinstance(kind, Choice):
        return kind.choices[[_label(value) for value in kind.choices].index(drawn)]
    return rounded(kind, drawn) if isinstance(kind, Real) else drawn


def _label(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def is_drawn(trial: FrozenTrial) -> bool:
    return not {RETRY_OF, IS_PRESENT, IS_SURPLUS} & trial.user_attrs.keys()


def place_of(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> int | None:
    """The how-manieth draw a trial is, from 0; that of the trial it repeats; None for the present
    values. No two draws have one place, whatever the number of workers."""
    if IS_PRESENT in trial.user_attrs:
        return None
    origin = trial.user_attrs.get(RETRY_OF, trial.number)
    return sum(is_drawn(one) for one in trials if one.number < origin)


class Repeatable(BaseSampler):
    """Hands each trial to a sampler of its own, which `make` makes for the trial's place."""

    def __init__(self, make: Callable[[int], BaseSampler]) -> None:
        self._make = make
        self._sampler = make(0)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        place = place_of(trial, study.get_trials(deepcopy=False))
        self._sampler = self._make(place or 0)
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self._sampler.after_trial(study, trial, state, values)


class Combination(RandomSampler):
    """One point of a grid, of which nothing is left to chance. Optuna's own grid may run a point
    twice where workers share it."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self._values = values

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._values[param_name]


def make_sampler(search: Search) -> Repeatable:
    def seed_at(place: int) -> int:
        return int(np.random.SeedSequence([search.seed, place]).generate_state(1)[0])

    match search.sampler:
        case ByGrid():
            points = combinations(search.space)
            return Repeatable(lambda place: Combination(_point(search, points, place)))
        case ByTpe(startup_trials=startup, multivariate=multivariate):
            return Repeatable(lambda place: _tpe(startup, multivariate, seed_at(place)))
        case _:
            return Repeatable(lambda place: RandomSampler(seed_at(place)))


def _point(search: Search, points: list[dict[str, Any]], place: int) -> dict[str, Any]:
    point = points[min(place, len(points) - 1)]
    return {name: encoded(search.space[name], value) for name, value in point.items()}


def _tpe(startup: int, multivariate: bool, seed: int) -> TPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(n_startup_trials=startup, multivariate=multivariate, seed=seed)


class RepeatableHyperband(HyperbandPruner):
    """Chooses a trial's bracket by its place. Optuna's counts trials that died too, and has no
    brackets before a process has first asked it whether to stop."""

    def __init__(self, least_steps: int, most_steps: int, reduction_factor: int) -> None:
        super().__init__(least_steps, most_steps, reduction_factor)
        self._is_ready = False

    def _get_bracket_id(self, study: Study, trial: FrozenTrial) -> int:
        if not self._is_ready:
            self._try_initialization(study)
            self._is_ready = True
        # Asked with the study of one bracket, which asks in turn for the trials that are in it.
        trials = getattr(study, "_study", study).get_trials(deepcopy=False)
        placed = copy(trial)
        placed.number = 1 + (-1 if (place := place_of(trial, trials)) is None else place)
        return super()._get_bracket_id(study, placed)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        self._get_bracket_id(study, trial)
        return super().prune(study, trial)


def make_pruner(search: Search) -> BasePruner:
    match search.pruner:
        case ByMedian(startup_trials=startup, warmup_steps=warmup):
            return MedianPruner(startup, warmup)
        case ByHyperband(least_steps=least, most_steps=most, reduction_factor=factor):
            return RepeatableHyperband(least, most, factor)
        case _:
            return NopPruner()


def num_draws(search: Search) -> int:
    """How many trials are drawn: no more than the grid has points."""
    if isinstance(search.sampler, ByGrid):
        return min(search.num_trials, len(combinations(search.space)))
    return search.num_trials
