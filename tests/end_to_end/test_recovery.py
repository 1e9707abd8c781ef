"""Runs that are interrupted and killed: nobody is left, nothing is torn, the next run recovers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.end_to_end.checkout import Checkout, end, outcomes, ran, refused, succeeded
from tests.end_to_end.conftest import Copy

DVC = (sys.executable, "-m", "dvc", "repro", "pretrain")
FLOW = (sys.executable, "-m", "flows.data", "--no-wait")
# Enough that a run is certainly under way when it is disturbed.
LONGER = {"pretrain.epochs": 8, "pretrain.batch_size": 64}

Disturb = Callable[[subprocess.Popen[str], int], None]


@pytest.fixture(scope="module")
def longer(copy_at: Copy, finished: Checkout) -> Checkout:
    """A finished checkout that has to pretrain for longer; not to be changed."""
    checkout = copy_at(finished)
    checkout.set_params(LONGER)
    succeeded(checkout.module("tasks.stage", "--check"))
    return checkout


@pytest.fixture(scope="module")
def undisturbed(copy_at: Copy, longer: Checkout) -> Any:
    """What DVC records of pretraining when nothing disturbs it."""
    checkout = copy_at(longer)
    assert ran(checkout.dvc("repro", "pretrain")) == {"pretrain"}
    return checkout.lock()["stages"]["pretrain"]


def interrupt_all(run: subprocess.Popen[str], stage: int) -> None:
    """What Ctrl-C in a terminal does."""
    os.killpg(run.pid, signal.SIGINT)


def kill_run(run: subprocess.Popen[str], stage: int) -> None:
    os.kill(run.pid, signal.SIGKILL)


def kill_stage(run: subprocess.Popen[str], stage: int) -> None:
    os.kill(stage, signal.SIGKILL)


def kill_dvc(run: subprocess.Popen[str], stage: int) -> None:
    """Kills the DVC that stands between a flow and the stage."""
    for process in psutil.Process(stage).parents():
        if "repro" in process.cmdline():
            process.kill()
            return
    raise AssertionError("no DVC above the stage")


def disturb(checkout: Checkout, command: tuple[str, ...], disturbance: Disturb) -> str:
    """Disturbs a run while it pretrains, and sees to it that nobody is left; what it said."""
    run = checkout.start(*command)
    try:
        stage = checkout.await_stage("pretrain", run)
        disturbance(run, stage)
        said, _ = run.communicate(timeout=120)
        checkout.await_nobody()
    finally:
        end(run)
    assert run.returncode != 0, said
    if command is DVC:
        assert "Traceback" not in said
    return said


def check_recovered(checkout: Checkout, undisturbed: Any, seconds: float) -> None:
    """The bytes of an undisturbed run, and still so after a while."""
    for pause in (0.0, seconds):
        time.sleep(pause)
        checkout.await_nobody()
        assert checkout.lock()["stages"]["pretrain"] == undisturbed
        said = checkout.dvc("status", "pretrain")
        assert "up to date" in said, said
    assert not [
        path
        for folder in ("models", "metrics", "data")
        for path in (checkout.root / folder).rglob(".*.tmp")
    ]


@pytest.mark.slow
def test_dvc_disturbed_again_and_again_recovers(
    copy_at: Copy, longer: Checkout, undisturbed: Any
) -> None:
    checkout = copy_at(longer)
    for disturbance in (kill_run, interrupt_all, kill_stage):
        disturb(checkout, DVC, disturbance)
        assert checkout.lock()["stages"]["pretrain"] != undisturbed
    assert ran(checkout.dvc("repro", "pretrain")) == {"pretrain"}
    check_recovered(checkout, undisturbed, 3.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "disturbance", "seconds"),
    [
        (DVC, interrupt_all, 3.0),
        (DVC, kill_run, 30.0),
        (DVC, kill_stage, 3.0),
        (FLOW, interrupt_all, 3.0),
        (FLOW, kill_run, 3.0),
        (FLOW, kill_dvc, 3.0),
        (FLOW, kill_stage, 3.0),
    ],
)
def test_one_disturbance_and_the_same_command_again(
    copy_at: Copy,
    longer: Checkout,
    undisturbed: Any,
    command: tuple[str, ...],
    disturbance: Disturb,
    seconds: float,
) -> None:
    checkout = copy_at(longer)
    said = disturb(checkout, command, disturbance)
    if command is FLOW and disturbance is interrupt_all:
        assert "data: interrupted; run again to go on" in said
    if command is FLOW and disturbance in (kill_dvc, kill_stage):
        assert "FlowFailed: stage 'pretrain' ended with exit status" in said
    succeeded(checkout.run(*command))
    check_recovered(checkout, undisturbed, seconds)


@pytest.mark.slow
def test_a_second_dvc_fails_clearly_and_harms_nothing(
    copy_at: Copy, longer: Checkout, undisturbed: Any
) -> None:
    checkout = copy_at(longer)
    first = checkout.start(*DVC)
    try:
        checkout.await_stage("pretrain", first)
        refused(checkout.run(*DVC), "ERROR: ", "busy")
        refused(checkout.stage("pretrain"), "BusyError: pretrain: already runs here")
        said, _ = first.communicate()
    finally:
        end(first)
    assert first.returncode == 0, said
    check_recovered(checkout, undisturbed, 0.0)


@pytest.mark.slow
def test_a_second_flow_leaves_or_waits_naming_the_owner(
    copy_at: Copy, longer: Checkout, undisturbed: Any
) -> None:
    checkout = copy_at(longer)
    first = checkout.start(*FLOW)
    try:
        checkout.await_stage("pretrain", first)
        owner = f"{checkout.root} is in use by flow 'data' (process {first.pid} on "
        left = checkout.run(*FLOW)
        assert left.status == 1
        assert f"BusyError: {owner}" in left.said
        waited = succeeded(checkout.module("flows.data"))
        said, _ = first.communicate()
    finally:
        end(first)
    assert first.returncode == 0, said
    # It may have come late enough to find the checkout free.
    assert owner in waited or "ran" not in outcomes(waited).values()
    check_recovered(checkout, undisturbed, 0.0)
