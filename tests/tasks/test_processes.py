"""Stages as processes of their own: killed they go on, and two of them learn what one does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch

from tasks.artifacts.documents import load_json, load_yaml
from tasks.core.errors import ParamsError
from tasks.core.yaml_edits import edit_values
from tasks.processes import is_one_of, take_own_gpu
from tests.tasks.small_project import ROOT, make_project

STEPS_PER_EPOCH = {"pretrain": 6, "finetune": 6}
# Group norm sees each image alone, so that several processes are to learn what one does.
VALUES = {
    "pretrain__architecture__normalisation": "group",
    "pretrain__epochs": 2,
    "pretrain__batch_size": 16,
    "finetune__epochs": 3,
    "finetune__batch_size": 16,
    "finetune__dropout": 0.2,
    "finetune__patience": 8,
    "finetune__initialisation": "always",
}

MOCO = {
    "name": "moco",
    "temperature": 0.2,
    "projector_width": 32,
    "projection_width": 16,
    "queue_length": 64,
    "momentum": 0.9,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both stages have run through in it."""
    project = make_project(tmp_path_factory.mktemp("project"), **VALUES)
    for stage in STEPS_PER_EPOCH:
        assert start(project, stage).wait() == 0
    return project


def start(project: Path, stage: str, num_workers: int = 0) -> subprocess.Popen[bytes]:
    words = load_yaml(project / "dvc.yaml")["stages"][stage]["cmd"].split()
    switches = {
        "PYTHONPATH": str(ROOT),
        "TILTH_CHECKPOINT_SECONDS": "0",
        "TILTH_WORKERS": str(num_workers),
    }
    return subprocess.Popen(
        [sys.executable, *words[1:]], cwd=project, env={**os.environ, **switches}
    )


@contextmanager
def params_changed(project: Path, changed: dict[str, Any]) -> Iterator[None]:
    """For as long as it lasts: the project is shared."""
    params = project / "params.yaml"
    old = params.read_text()
    params.write_text(edit_values(old, changed))
    try:
        yield
    finally:
        params.write_text(old)


def outputs(project: Path, stage: str) -> dict[str, bytes]:
    words = load_yaml(project / "dvc.yaml")["stages"][stage]["cmd"].split()
    flags = zip(words[4::2], words[5::2], strict=True)
    return {path: (project / path).read_bytes() for flag, path in flags if "--out-" in flag}


def steps_done(project: Path) -> int:
    """The step of the latest checkpoint."""
    paths = (project / ".cache/checkpoints").glob("*/*.safetensors")
    return max((int(path.name.partition(".")[0]) for path in paths), default=0)


def kill_within_an_epoch(project: Path, stage: str) -> None:
    while True:
        killed = start(project, stage)
        while killed.poll() is None and steps_done(project) % STEPS_PER_EPOCH[stage] not in (2, 3):
            time.sleep(0.001)
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        if steps_done(project) % STEPS_PER_EPOCH[stage]:
            return


@pytest.mark.parametrize("stage", [pytest.param("pretrain", marks=pytest.mark.slow), "finetune"])
def test_a_stage_that_was_killed_ends_with_the_same_bytes(project, stage):
    whole = outputs(project, stage)
    assert steps_done(project) == 0
    for path in whole:
        (project / path).unlink()
    kill_within_an_epoch(project, stage)
    assert not any((project / path).exists() for path in whole)
    assert start(project, stage).wait() == 0
    assert outputs(project, stage) == whole
    assert steps_done(project) == 0


def test_what_was_observed_of_a_training_is_told(project):
    observed = load_json(project / "runs/finetune.json")
    assert observed["num_epochs"] == 3
    assert observed["num_processes"] == 1 and observed["num_workers"] == 0
    assert observed["images_per_second"] > 0
    # Nothing, if it ended before the measuring had begun.
    assert observed["energy"] == {} or observed["energy"]["watt_hours"] > 0


@pytest.mark.slow
def test_workers_change_nothing_of_what_is_learnt(project):
    whole = outputs(project, "pretrain")
    assert start(project, "pretrain", num_workers=1).wait() == 0
    assert outputs(project, "pretrain") == whole
    assert load_json(project / "runs/pretrain.json")["num_workers"] == 1


def listened_at(process: subprocess.Popen[bytes]) -> set[str]:
    """Waits for a process to end; the addresses at which those that it started listened."""
    found: set[str] = set()
    while process.poll() is None:
        with suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                sockets = child.net_connections()
                found |= {one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN}
        time.sleep(0.02)
    return found


@pytest.mark.slow
def test_two_processes_learn_what_one_does(project):
    """Without dropout, which each draws for itself. They are heard on this machine alone."""
    histories = []
    for num_processes in (1, 2):
        changed = {"finetune.dropout": 0.0, "finetune.num_processes": num_processes}
        with params_changed(project, changed):
            process = start(project, "finetune")
            assert listened_at(process) == (set() if num_processes == 1 else {"127.0.0.1"})
        assert process.returncode == 0
        assert load_json(project / "runs/finetune.json")["num_processes"] == num_processes
        histories.append(pd.read_csv(project / "metrics/finetune_epochs.csv"))
    one, two = histories
    pd.testing.assert_frame_equal(two, one, atol=1e-5, rtol=1e-4)
    assert one["train_loss"].iloc[-1] < one["train_loss"].iloc[1]


@pytest.mark.slow
def test_two_processes_that_pretrain_keep_one_queue(project):
    """Each compares its own images, so that it is not what one would learn, but ever the same."""
    encoders = []
    with params_changed(project, {"pretrain.method": MOCO, "pretrain.num_processes": 2}):
        for _ in range(2):
            assert start(project, "pretrain").wait() == 0
            encoders.append(outputs(project, "pretrain"))
    assert encoders[0] == encoders[1]
    assert load_json(project / "runs/pretrain.json")["num_processes"] == 2
    metrics = load_json(project / "metrics/pretrain.json")
    assert metrics["method"] == "moco" and not metrics["collapsed"]


def test_another_number_of_processes_than_was_asked_for_is_refused(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert is_one_of("finetune", 1) and not is_one_of("finetune", 2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert is_one_of("finetune", 2)
    with pytest.raises(ParamsError, match="num_processes is 3, and 2 were started"):
        is_one_of("finetune", 3)


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch):
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    take_own_gpu()
    assert taken == []
    monkeypatch.setenv("LOCAL_RANK", "0")
    take_own_gpu()
    assert taken == [0]
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(ParamsError, match="process 2 of this machine finds 1 GPUs"):
        take_own_gpu()
