"""Runs the trials of a study, one after another, until none is left."""

import sys
import time
from collections.abc import Callable
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from tasks.artifacts.studies import retry, retry_stale
from tasks.core.errors import ArtifactError, TilthError
from tasks.core.samplers import IS_SURPLUS, REASON, draw, is_drawn, num_draws, place_of
from tasks.core.search import Search, with_values

# Of params that do not fit each other, the data or the memory, in our words or in PyTorch's.
_REFUSALS = (TilthError, RuntimeError, ValueError, MemoryError)
# No trial's fault: what lies on a disk, or does not fit there.
_FAULTS_OF_DISKS = (ArtifactError, OSError)

# The score of what stands in the sections, told of step by step.
Objective = Callable[[dict[str, Any], Callable[[int, float], None]], float]


class SurplusError(TilthError):
    """Two workers began the last trial at the same moment."""


class Worker:
    """One of those who share a study."""

    def __init__(
        self, study: Study, search: Search, sections: dict[str, Any], objective: Objective
    ) -> None:
        self._study, self._search = study, search
        self._sections, self._objective = sections, objective

    def run(self) -> None:
        """Leaves alone what others still run. Interrupted, it queues its trial again and raises
        KeyboardInterrupt; so it does for an error that is no fault of a combination of params."""
        while self._is_left():
            started = time.monotonic()
            try:
                self._study.optimize(self._attempt, n_trials=1, catch=(SurplusError,))
            except UpdateFinishedTrialError:
                _say("this worker was silent for too long, its trial was given to another")
            else:
                self._tell(time.monotonic() - started)

    def _is_left(self) -> bool:
        retry_stale(self._study)
        trials = self._trials()
        is_waiting = any(trial.state == TrialState.WAITING for trial in trials)
        return is_waiting or sum(map(is_drawn, trials)) < num_draws(self._search)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _attempt(self, trial: Trial) -> float:
        self._number = trial.number
        place = place_of(self._frozen(), self._trials())
        if place is not None and place >= num_draws(self._search):
            trial.set_user_attr(IS_SURPLUS, True)
            raise SurplusError("tune: one trial too many")
        if REASON in trial.user_attrs:
            raise optuna.TrialPruned
        try:
            values = draw(trial, self._search.space)
            return self._objective(with_values(self._sections, values), _reporting(trial))
        except UpdateFinishedTrialError:
            raise
        except _FAULTS_OF_DISKS:
            retry(self._study, self._frozen(), has_died=False)
            raise
        except _REFUSALS as error:
            trial.set_user_attr(REASON, str(error) or type(error).__name__)
            raise optuna.TrialPruned from error
        except optuna.TrialPruned:
            raise
        except BaseException as error:
            retry(self._study, self._frozen(), not isinstance(error, KeyboardInterrupt))
            raise

    def _frozen(self) -> FrozenTrial:
        return self._trials()[self._number]

    def _tell(self, seconds: float) -> None:
        trial, metric = self._frozen(), self._search.metric
        place = place_of(trial, self._trials())
        which = "present values" if place is None else f"{place + 1} of {num_draws(self._search)}"
        if trial.state == TrialState.COMPLETE:
            best = self._study.best_trial
            outcome = f"{metric} {trial.value:.4f}, best {best.value:.4f}"
        elif REASON in trial.user_attrs:
            outcome = f"refused: {trial.user_attrs[REASON]}"
        else:
            outcome = f"stopped after {len(trial.intermediate_values)} steps"
        _say(f"trial {which}: {outcome} ({seconds:.1f} s)")


def _reporting(trial: Trial) -> Callable[[int, float], None]:
    def report(step: int, score: float) -> None:
        trial.report(score, step)
        if trial.should_prune():
            raise optuna.TrialPruned

    return report


def _say(text: str) -> None:
    print(f"tune: {text}", file=sys.stderr, flush=True)
