"""Mistakes in params.yaml are told by section and key before any stage runs; threads are limited
before anything is imported that computes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.energy import _COUNTER

ROOT = Path(__file__).parents[2]
STAGE = """
import os
from pathlib import Path
from tasks.core.params import Run, Section

BLAS = [os.environ[f"{{name}}_NUM_THREADS"] for name in ("OMP", "MKL", "OPENBLAS")]
print(__name__, *BLAS)

class Params(Section):
    pass

def main(out: Path, params: Params, {arguments}) -> None:
    out.write_text(f"{{{given}}}")
"""
STAGES = {
    "alone": STAGE.format(arguments="seed: int", given="seed"),
    "threaded": STAGE.format(arguments="num_threads: int", given="num_threads"),
    "named": STAGE.format(arguments="*, num_threads: int, seed: int", given="num_threads, seed"),
    "all": STAGE.format(arguments="run: Run", given="run.num_threads, run.seed, run.device"),
}
RUN = {"seed": 7, "num_threads": 3, "precision": "float32", "device": "cpu"}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The code and the graph as they stand, to be given other params."""
    project = tmp_path_factory.mktemp("project")
    compiled = shutil.ignore_patterns("__pycache__")
    for package in ("tasks", "expectations", "pages", "monitoring"):
        shutil.copytree(ROOT / package, project / package, ignore=compiled)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, project / name)
    return project


def sections() -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def check(project: Path, params: dict | str | None) -> tuple[int, str]:
    """Exit status, and what was written to standard error."""
    file = project / "params.yaml"
    if isinstance(params, str):
        file.write_text(params)
    elif params is not None:
        YAML(typ="safe", pure=True).dump(params, file)
    command = [sys.executable, "-m", "tasks.stage", "--check"]
    ran = subprocess.run(command, cwd=project, capture_output=True, text=True)
    return ran.returncode, ran.stderr


@pytest.fixture(scope="module")
def mistaken(project) -> tuple[int, str]:
    """All kinds of mistakes at once, as importing every stage takes seconds."""
    params = sections()
    params["run"]["seed"] = "0"
    del params["run"]["precision"]
    params["run"]["precise"] = "float32"
    params["ingest"]["sources"]["digits"]["faults"]["truncated_fraction"] = 0.9
    params["ingest"]["sources"]["mine"] = {"type": "zip", "root": "x"}
    params["validate"]["max_rejected_fraction"] = 1.0
    params["clean"]["channels"] = 2
    params["split"] |= {"val_fraction": 0.6, "test_fraction": 0.5}
    params["pretrain"]["architecture"]["width"] = 24.5
    params["pretrain"]["views"][0]["name"] = "RandomResizedCorp"
    params["pretrain"]["views"][2]["arguments"]["brightnes_limit"] = 0.1
    params["augment"]["transforms"] = "lite"
    params["rebalance"] |= {"sampler": "SMOTE", "arguments": {"k_neighbours": 3}}
    params["validate"]["expectations"]["raw"] = [
        {"type": "expectation", "name": "ExpectNothing", "arguments": {}, "severity": "warning"}
    ]
    del params["finetune"]["optimiser"]["learning_rate"]
    params["finetune"]["optimiser"]["learning_rte"] = 0.5
    params["finetune"]["loss"]["name"] = "hinge"
    params["promote"]["change"] = {}
    params["monitoring"]["alpha"] = 1.0
    params["finetun"] = {}
    del params["export"]
    return check(project, params)


def test_mistakes_end_with_status_1_in_one_message(mistaken):
    status, told = mistaken
    assert status == 1
    assert told.startswith("ParamsError: params.yaml:\n  ")
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "line",
    [
        "finetun: unknown section; expected ['run', 'ingest', ",
        "export: section is missing",
        "run.seed: Input should be a valid integer (given: '0')",
        "run.precise: Extra inputs are not permitted (given: 'float32')",
        "run.precision: Field required",
        "ingest.sources.digits.faults.truncated_fraction: Input should be less",
        "ingest.sources.mine: Input tag 'zip' found",
        "validate.max_rejected_fraction: Input should be less than 1 (given: 1.0)",
        "clean.channels: Input should be 1 or 3 (given: 2)",
        "split: Value error, val_fraction and test_fraction together",
        "pretrain.architecture.width: Input should be a valid integer",
        "pretrain.views.0: Value error, albumentations has no transform 'RandomResizedCorp'",
        "pretrain.views.2: Value error, RandomBrightnessContrast: ",
        "augment.transforms: Value error, no preset 'lite'; expected one of ['digits', ",
        "rebalance: Value error, SMOTE: SMOTE.__init__() got an unexpected keyword argument",
        "validate.expectations.raw.0: Value error, Great Expectations has no 'ExpectNothing'",
        "finetune.optimiser.learning_rte: Extra inputs are not permitted (given: 0.5)",
        "finetune.optimiser.learning_rate: Field required",
        "finetune.loss: Input tag 'hinge' found using 'name' does not match any of the expected",
        "promote.change: Dictionary should have at least 1 item",
        "monitoring.alpha: Input should be less than 1 (given: 1.0)",
    ],
)
def test_every_mistake_has_a_line_that_names_its_place(mistaken, line):
    assert f"\n  {line}" in mistaken[1]


def test_sound_sections_are_not_told(mistaken):
    assert not any(line.startswith(("  evaluate", "  audit")) for line in mistaken[1].splitlines())


def test_the_params_of_this_project_pass(project, mistaken):
    assert check(project, sections()) == (0, "")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("run: [1\n", "ArtifactError: params.yaml: is not valid YAML"),
        ("", "ParamsError: params.yaml: expected the sections ['run', 'ingest', "),
        ("- run\n", "ParamsError: params.yaml: expected the sections ['run', 'ingest', "),
        ("run: {}\nrun: {}\n", "ArtifactError: params.yaml: is not valid YAML"),
    ],
)
def test_what_is_no_mapping_of_sections_is_told(project, params, message):
    status, told = check(project, params)
    assert status == 1
    assert told.startswith(message)


def test_another_folder_is_told(project, tmp_path):
    command = [sys.executable, "-m", "tasks.stage", "--check"]
    environment = {"PYTHONPATH": str(project), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert ran.returncode == 1
    assert "params.yaml: not found in" in ran.stderr and "run from the project's root" in ran.stderr


@pytest.mark.parametrize(
    ("stage", "num_threads", "given"),
    [
        ("alone", 1, "7"),
        ("threaded", 3, "3"),
        ("named", 3, "(3, 7)"),
        ("all", 3, "(3, 7, 'cpu')"),
    ],
)
def test_threads_are_limited_before_any_stage_is_imported(
    project: Path, tmp_path: Path, stage: str, num_threads: int, given: str
) -> None:
    shutil.copytree(project / "tasks", tmp_path / "tasks")
    for name, text in STAGES.items():
        (tmp_path / "tasks" / f"{name}.py").write_text(text)
    yaml = YAML(typ="safe", pure=True)
    yaml.dump({"stages": dict.fromkeys(STAGES)}, tmp_path / "dvc.yaml")
    yaml.dump({"run": RUN, **{name: {} for name in STAGES}}, tmp_path / "params.yaml")
    command = [sys.executable, "-m", "tasks.stage", stage, "--out", "out"]
    ran = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    limit = " ".join([str(num_threads)] * 3)
    assert sorted(ran.stdout.splitlines()) == [f"tasks.{name} {limit}" for name in sorted(STAGES)]
    assert (tmp_path / "out").read_text() == given
    observed = json.loads((tmp_path / "runs" / f"{stage}.json").read_text())
    assert observed["num_threads"] == num_threads
    assert observed["energy"] == {}


DRAWING = """
import threading
import time
from pathlib import Path

import torch

from tasks.core.params import Section

class Params(Section):
    pass

def main(out: Path, params: Params) -> None:
    for thread in threading.enumerate():
        if thread.name == "energy":
            thread.join()
    time.sleep(0.2)
    out.write_text("")
"""


@pytest.mark.parametrize("switch", ["on", "off"])
def test_what_a_stage_that_computes_drew_is_told(project: Path, tmp_path: Path, switch) -> None:
    shutil.copytree(project / "tasks", tmp_path / "tasks")
    (tmp_path / "tasks/drawing.py").write_text(DRAWING)
    yaml = YAML(typ="safe", pure=True)
    yaml.dump({"stages": {"drawing": None}}, tmp_path / "dvc.yaml")
    yaml.dump({"run": RUN, "drawing": {}}, tmp_path / "params.yaml")
    command = [sys.executable, "-m", "tasks.stage", "drawing", "--out", "out"]
    environment = {**os.environ, "TILTH_ENERGY": switch}
    subprocess.run(command, cwd=tmp_path, check=True, env=environment)
    drawn = json.loads((tmp_path / "runs/drawing.json").read_text())["energy"]
    if switch == "off":
        assert drawn == {}
    else:
        assert drawn["watt_hours"] > 0
        assert drawn["is_estimated"] is not os.access(_COUNTER, os.R_OK)


def test_nothing_that_computes_is_imported_before_threads_are_limited() -> None:
    libraries = {"numpy", "torch", "cv2", "scipy", "pyarrow", "pandas", "sklearn"}
    program = f"import sys, tasks.stage; print({libraries} & sys.modules.keys())"
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert told == "set()\n"
