"""Schedules are torch's own, step for step, and the cosine is its formula."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR

from tasks.core.schedules import Constant, Cosine, OneCycle, Plateau, Schedule, Step
from tasks.core.schedules import refuse_unreached as refuse

SECTIONS = TypeAdapter(Schedule)


def rates_of(schedule: LRScheduler, num_steps: int, each: int) -> list[float]:
    """The rate of every step, where the schedule moves after `each` of them."""
    rates = []
    for step in range(1, num_steps + 1):
        rates.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        if step % each == 0 and step < num_steps:
            schedule.step()
    return rates


def torch_optimiser() -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)


def factors(schedule: Schedule, num_epochs: int, steps_per_epoch: int) -> list[float]:
    steps = range(num_epochs * steps_per_epoch)
    return [schedule.factor_at(step, num_epochs, steps_per_epoch) for step in steps]


def test_step_is_multi_step_of_torch():
    expected = rates_of(MultiStepLR(torch_optimiser(), [2, 5], 0.3), 7 * 4, each=4)
    found = factors(Step(name="step", after_epochs=[2, 5], factor=0.3), 7, 4)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rising_fraction", [0.1, 0.3, 0.77])
@pytest.mark.parametrize("end_fraction", [0.001, 0.02])
def test_one_cycle_is_that_of_torch(rising_fraction, end_fraction):
    theirs = OneCycleLR(
        torch_optimiser(),
        max_lr=1.0,
        epochs=6,
        steps_per_epoch=5,
        pct_start=rising_fraction,
        cycle_momentum=False,
        div_factor=1 / 0.04,
        final_div_factor=0.04 / end_fraction,
    )
    ours = OneCycle(
        name="one_cycle",
        rising_fraction=rising_fraction,
        start_fraction=0.04,
        end_fraction=end_fraction,
    )
    assert factors(ours, 6, 5) == pytest.approx(rates_of(theirs, 30, each=1), rel=1e-9)


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0.01, 0.99))
def test_one_cycle_is_within_its_bounds_however_few_the_steps(num_epochs, per_epoch, rising):
    ours = OneCycle(name="one_cycle", rising_fraction=rising, start_fraction=0.1, end_fraction=0.0)
    found = factors(ours, num_epochs, per_epoch)
    assert all(0 <= factor <= 1 for factor in found)
    assert found.index(max(found)) <= math.ceil(rising * len(found))


def test_known_values_of_the_cosine():
    found = factors(Cosine(name="cosine", warmup_epochs=2), 6, 2)
    assert found[:4] == [0.25, 0.5, 0.75, 1.0]
    assert found[4] == 1.0
    assert found[6] == pytest.approx(0.5 + math.sqrt(0.125))
    assert found[8] == pytest.approx(0.5)


@given(st.integers(1, 40), st.integers(0, 50), st.integers(1, 7))
def test_the_cosine_rises_then_falls_and_never_ends_before_the_last_step(epochs, warmup, per_epoch):
    found = factors(Cosine(name="cosine", warmup_epochs=warmup), epochs, per_epoch)
    top = min(warmup * per_epoch, len(found)) or 1
    assert found[:top] == sorted(found[:top])
    assert found[top - 1 :] == sorted(found[top - 1 :], reverse=True) or warmup >= epochs
    assert all(0 < factor <= 1 for factor in found)


def test_constant_and_plateau_leave_a_step_alone():
    plateau = Plateau(name="plateau", factor=0.5, patience=1)
    for schedule in (Constant(name="constant"), plateau):
        assert factors(schedule, 3, 2) == [1.0] * 6


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"name": "cosine", "warmup_epochs": 9}, "the full rate would never be reached"),
        ({"name": "step", "after_epochs": [3, 8], "factor": 0.1}, "after which no epoch comes"),
        ({"name": "plateau", "factor": 0.1, "patience": 7}, "the rate would never fall"),
    ],
)
def test_what_is_never_reached_is_refused(section, words):
    schedule = SECTIONS.validate_python(section)
    with pytest.raises(ValueError, match=words):
        refuse(schedule, 8)
    refuse(schedule, 10)
    refuse(schedule, 0)


@pytest.mark.parametrize(
    "section",
    [
        {"name": "linear"},
        {"name": "constant", "warmup_epochs": 1},
        {"name": "cosine"},
        {"name": "cosine", "warmup_epochs": -1},
        {"name": "step", "after_epochs": [], "factor": 0.1},
        {"name": "step", "after_epochs": [1], "factor": 1.0},
        {"name": "plateau", "factor": 0.0, "patience": 1},
    ],
)
def test_other_sections_are_refused(section):
    with pytest.raises(ValidationError):
        SECTIONS.validate_python(section)
