"""What users expect of a model beyond its score, in the manner of CheckList (Ribeiro et al., Beyond
accuracy: behavioral testing of NLP models with CheckList, 2020).

N rows, K classes
"""

from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from tasks.core.intervals import Interval, draw_counts, percentile_interval, wilson_interval
from tasks.core.params import Section
from tasks.core.policy import Transform

_NUM_SAMPLES = 1000


class Invariance(Section):
    """A change that must not matter: the predicted class changes for this fraction of rows at
    most."""

    type: Literal["invariance"]
    transform: Transform
    max_changed_fraction: Annotated[float, Field(ge=0, le=1)]


class Direction(Section):
    """A change that must matter one way: the mean probability of each row's own class goes up or
    down, over the rows of class `label`, or over all (null)."""

    type: Literal["direction"]
    transform: Transform
    label: str | None
    expected: Literal["up", "down"]


class Minimum(Section):
    """What the model must be able to do: the accuracy that a slice must reach; `all` is a slice."""

    type: Literal["minimum"]
    slice: str
    min_accuracy: Annotated[float, Field(ge=0, le=1)]


Behaviour = Annotated[Invariance | Direction | Minimum, Field(discriminator="type")]


class Observed(NamedTuple):
    """What was seen of a behaviour, and whether that is what was expected."""

    behaviour: str
    num_rows: int
    measured: Interval
    expected: str
    holds: bool


def judge_invariance(asked: Invariance, before_NK: np.ndarray, after_NK: np.ndarray) -> Observed:
    changed = int((before_NK.argmax(axis=1) != after_NK.argmax(axis=1)).sum())
    fraction = wilson_interval(changed, len(before_NK))
    return Observed(
        f"{in_words(asked.transform)} changes the prediction",
        len(before_NK),
        fraction,
        f"of {asked.max_changed_fraction:g} of rows at most",
        fraction.value <= asked.max_changed_fraction,
    )


def judge_direction(
    asked: Direction, before_NK: np.ndarray, after_NK: np.ndarray, labels_N: np.ndarray, seed: int
) -> Observed:
    rows = np.arange(len(labels_N))
    change_N = after_NK[rows, labels_N] - before_NK[rows, labels_N]
    drawn_B = np.concatenate(
        [
            change_N @ counts_Nb / len(rows)
            for counts_Nb in draw_counts(len(rows), _NUM_SAMPLES, seed)
        ]
    )
    change = percentile_interval(float(change_N.mean()), drawn_B)
    whose = "its own class" if asked.label is None else asked.label
    return Observed(
        f"{in_words(asked.transform)} changes the probability of {whose}",
        len(rows),
        change,
        f"{asked.expected}wards",
        change.value > 0 if asked.expected == "up" else change.value < 0,
    )


def judge_minimum(asked: Minimum, is_right_N: np.ndarray) -> Observed:
    accuracy = wilson_interval(int(is_right_N.sum()), len(is_right_N))
    return Observed(
        f"accuracy of {asked.slice}",
        len(is_right_N),
        accuracy,
        f"{asked.min_accuracy:g} at least",
        accuracy.value >= asked.min_accuracy,
    )


def in_words(transform: Transform) -> str:
    """`GaussNoise (std_range: [0.1, 0.1])`."""
    said: list[str] = [f"{name}: {_shown(value)}" for name, value in transform.arguments.items()]
    return f"{transform.name} ({', '.join(said)})" if said else transform.name


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
