"""Checkouts of the working tree: one that never ran, one in which everything ran once, copies."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.workspace import copy_project
from tests.end_to_end.checkout import Checkout

# A net that learns little, and fast.
TINY = {
    "clean.image_size": 8,
    "pretrain.architecture.width": 8,
    "pretrain.method.projector_width": 16,
    "pretrain.method.projection_width": 8,
    "pretrain.epochs": 1,
    "pretrain.schedule.warmup_epochs": 0,
    "pretrain.batch_size": 256,
    "pretrain.num_fresh_nets": 1,
    "audit.num_folds": 2,
    "audit.looks": ["whole"],
    "audit.penalties": [3.0],
    "audit.num_landmarks": 100,
    "audit.left_out_fractions": [0.1],
    "augment.num_audited": 200,
    # So little teaches no encoder that would be adopted.
    "finetune.initialisation": "always",
    "finetune.probe.steps": 20,
    "finetune.epochs": 2,
    "finetune.optimiser.learning_rate": 0.001,
    "finetune.schedule.warmup_epochs": 0,
    "finetune.batch_size": 256,
    "evaluate.num_bootstrap": 100,
    "evaluate.num_robustness_rows": 30,
    "explain.num_mistakes": 2,
    "explain.num_uncertain": 2,
    "explain.checks.num_images": 8,
    "explain.checks.num_random": 2,
    "explain.checks.num_broken": 4,
    "explain.imitation.num_rows": 300,
    "export.variants": [{"name": "int8", "num_rows": 50}],
    "promote.value": {"balanced_accuracy": 0.2},
    # Nor one that could tell wrong labels.
    "promote.data": {"suspicious_fraction": 1.0, "missed_leak_fraction": 1.0},
}

Copy = Callable[[Checkout], Checkout]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The first test to ask for the finished checkout pays for the whole run in it.
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The working tree as git would take it, committed, with tiny params; not to be changed."""
    around = tmp_path_factory.mktemp("fresh")
    checkout = Checkout(around / "checkout", around)
    copy_project(checkout.root)
    checkout.set_params(TINY)
    checkout.git("init", "--quiet", "--initial-branch=main")
    checkout.git("add", "--all")
    checkout.git("commit", "--quiet", "-m", "Begin")
    return checkout


@pytest.fixture(scope="session")
def copy_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """Makes a copy of a checkout, in which nothing has to run again; gone after the session."""
    made: list[Path] = []

    def copy(checkout: Checkout) -> Checkout:
        around = tmp_path_factory.mktemp("copy")
        made.append(around)
        subprocess.run(["cp", "-a", str(checkout.root), str(around / "checkout")], check=True)
        return Checkout(around / "checkout", around)

    yield copy
    for around in made:
        shutil.rmtree(around, ignore_errors=True)


@pytest.fixture(scope="session")
def finished(fresh: Checkout, copy_at: Copy) -> Checkout:
    """A checkout in which `dvc repro` ran everything once; not to be changed."""

    checkout = copy_at(fresh)
    checkout.dvc("repro")
    return checkout


@pytest.fixture
def copy(copy_at: Copy, finished: Checkout) -> Checkout:
    """A finished checkout for one test to change."""
    return copy_at(finished)


@pytest.fixture
def bare(copy_at: Copy, fresh: Checkout) -> Checkout:
    """A checkout in which nothing ran yet, for one test to change."""
    return copy_at(fresh)
