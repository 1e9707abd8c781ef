"""A search whose trials take no time, and workers of it in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tasks.artifacts.studies import opened_study, parse_storage
from tasks.core.errors import TilthError
from tasks.core.samplers import IS_PRESENT, place_of
from tasks.core.search import Search
from tasks.worker import Objective, Worker

ROOT = Path(__file__).parents[2]
ASKED: dict[str, Any] = {
    "study": "a",
    "num_trials": 5,
    "seed": 0,
    "metric": "calibrated_log_loss",
    "num_folds": 0,
    "sampler": {"name": "tpe", "startup_trials": 2, "multivariate": True},
    "pruner": {"name": "none"},
    "space": {
        "finetune.rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
        "finetune.net": {"type": "categorical", "choices": [{"width": 8}, {"width": 16}]},
        "finetune.batch": {"type": "int", "low": 16, "high": 64, "step": 16, "log": False},
    },
}
SECTIONS: dict[str, Any] = {
    "run": {},
    "pretrain": {},
    "finetune": {"rate": 0.1, "net": {"width": 8}, "batch": 16},
}
PRESENT = {"finetune.rate": 0.1, "finetune.net": {"width": 8}, "finetune.batch": 16}


def search_of(**changed: Any) -> Search:
    return Search.model_validate({**ASKED, **changed})


def bowl(sections: dict[str, Any], report: Any) -> float:
    """Best near a rate of 0.01 with a wide net; refuses the largest batch."""
    values = sections["finetune"]
    if values["batch"] == 64:
        raise TilthError("finetune: no memory for <64>")
    depth = abs(values["rate"] - 0.01) + (values["net"]["width"] == 8) + values["batch"] / 1000
    for step in range(3):
        report(step, depth + 1 - step / 3)
    return depth


def run(
    url: str, search: Search, objective: Objective = bowl, grace_seconds: int = 30
) -> list[dict[str, Any]]:
    """Runs what is left; the trials in the order of their places, as they are told to people."""
    asked = {"space": list(search.space), "seed": search.seed}
    present = {name: PRESENT[name] for name in search.space}
    with opened_study(parse_storage(url), search, asked, present, grace_seconds) as study:
        Worker(study, search, SECTIONS, objective).run()
        return trials_of(study, search)


def trials_of(study: Any, search: Search) -> list[dict[str, Any]]:
    trials = study.get_trials(deepcopy=False)
    finished = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
    return sorted(
        (
            {
                "place": -1 if IS_PRESENT in one.user_attrs else place_of(one, trials),
                "state": one.state.name,
                "value": one.value,
                "params": one.params,
            }
            for one in finished
        ),
        key=lambda one: one["place"],
    )


def start(url: str, code: str, **changed: Any) -> subprocess.Popen[str]:
    """A worker as a process; `code` defines `objective(sections, report)`. It prints a line as a
    trial begins."""
    program = (
        "import os, sys, time, signal\n"
        "from tests.tasks.studying import *\n"
        f"{code}\n"
        "def told(sections, report):\n"
        "    print('begins', flush=True)\n"
        "    return objective(sections, report)\n"
        f"run({url!r}, search_of(**{changed!r}), told, grace_seconds=2)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
