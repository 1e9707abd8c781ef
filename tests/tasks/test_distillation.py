"""A smaller net learns to say what the larger one says, repeatably, without a label."""

import copy

import albumentations as A
import numpy as np
import pytest
import torch

from tasks.artifacts.images import Images
from tasks.core.encoder import Classifier, Encoder
from tasks.core.inference import run_net
from tasks.core.params import Run
from tasks.core.pruning import prune_blocks
from tasks.distillation import Examples, distil
from tests.nets import tiny
from tests.tasks.brightness import make_pixels

RUN = Run(seed=0, num_threads=1, precision="float32", device="cpu")
ROWS = np.arange(90)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    pixels = make_pixels(tmp_path_factory.mktemp("images"))
    return Examples(pixels, ROWS, A.Compose([A.HorizontalFlip()]))


def pair(examples: Examples) -> tuple[Classifier, Classifier]:
    """A net with batch-norm statistics of its images, and what is left of it."""
    torch.manual_seed(0)
    teacher = Classifier(Encoder(tiny(width=8), [0.5], [0.25], 8), 3, 0.0)
    with torch.no_grad():
        for _ in range(30):
            teacher(torch.from_numpy(examples.pixels[ROWS]))
    teacher.head.weight.data *= 10
    return teacher, prune_blocks(teacher, 0.5)


def error(student, teacher, pixels: Images) -> float:
    """On rows that it did not learn from."""
    given, expected = (
        run_net(net, pixels, np.arange(90, 120), torch.device("cpu"), "float32")
        for net in (student, teacher)
    )
    return float(((given - expected) ** 2).mean())


def test_a_student_comes_near_its_teacher(examples):
    teacher, student = pair(examples)
    before, was = copy.deepcopy(teacher.state_dict()), error(student, teacher, examples.pixels)
    distil(student, teacher, examples, 20, 0.01, 16, RUN)
    assert error(student, teacher, examples.pixels) < 0.2 * was
    after = teacher.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_the_same_seed_teaches_the_same(examples):
    weights = []
    for seed in (0, 0, 1):
        teacher, student = pair(examples)
        distil(student, teacher, examples, 2, 0.01, 32, RUN.model_copy(update={"seed": seed}))
        weights.append(student.state_dict())
    first, again, other = weights
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_no_epochs_teach_nothing(examples):
    teacher, student = pair(examples)
    before = copy.deepcopy(student.state_dict())
    distil(student, teacher, examples, 0, 0.01, 32, RUN)
    assert all(torch.equal(before[key], value) for key, value in student.state_dict().items())
