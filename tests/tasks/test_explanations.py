"""A method fails where its checks do, and what cannot be told is not told."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from tasks.core.attribution_checks import Subject
from tasks.core.attributions import Method
from tasks.explanations import Checks, Imitation, Said, check_methods, imitate, rounded

CHECKS: dict[str, Any] = {
    "num_images": 20,
    "cells_across": 4,
    "num_steps": 8,
    "num_random": 4,
    "num_broken": 20,
    "num_levels": 1,
    "most_correlation": 0.5,
}
IMITATION = Imitation(num_rows=60, tree_depth=2, num_rules=2, least_rows=5)


class Corners(nn.Module):
    """Class 1 for what is bright above, class 0 for what is bright below."""

    def __init__(self):
        super().__init__()
        weight = torch.zeros(2, 8, 8)
        weight[1, :3, :3] = weight[0, 5:, 5:] = 0.3
        self.weight = nn.Parameter(weight)

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nhwc,khw->nk", images_NHWC.float() / 255, self.weight)


@pytest.fixture
def subject():
    # Class 1 is bright where it should be, and grey on the way there when it is blurred.
    images = np.random.default_rng(0).integers(0, 60, (20, 8, 8, 1), dtype=np.uint8)
    images[:, :3, :3] = 255
    classes = np.ones(20, dtype=np.int64)
    return Subject(Corners(), images, classes, np.zeros(1), 1.0, 4, torch.device("cpu"))


def checked(subject: Subject, *methods: dict[str, Any], **changed: Any) -> dict[str, Any]:
    chosen = TypeAdapter(list[Method]).validate_python(methods)
    return check_methods(chosen, subject, Checks(**CHECKS | changed), 0)


def test_a_method_passes_all_checks_or_fails(subject):
    gradients = {"name": "integrated_gradients", "num_steps": 4}
    found = checked(subject, gradients, {"name": "grad_cam"})
    one = found["methods"]["integrated_gradients"]
    assert one["passed"] and one["deletion"]["area"] < one["deletion"]["random_area"]
    assert one["insertion"]["area"] > one["insertion"]["random_area"]
    assert len(found["random"]["deletion"]) == len(one["deletion"]["curve"]) == 9
    assert found["methods"]["grad_cam"] == {
        "unavailable": "nothing in this net is known to have places"
    }
    strict = checked(subject, gradients, most_correlation=1e-9)["methods"]["integrated_gradients"]
    assert strict["deletion"]["passed"] and not strict["randomisation"]["passed"]
    assert not strict["passed"]


def test_a_net_that_looks_nowhere_lets_no_method_pass(subject):
    with torch.no_grad():
        subject.net.weight.zero_()
    found = checked(subject, {"name": "occlusion", "width_fraction": 0.25})
    one = found["methods"]["occlusion"]
    assert not one["passed"] and one["deletion"]["difference"] == 0


def said_by_brightness(table: pd.DataFrame) -> Said:
    bright = (table["brightness"] > 0.5).to_numpy().astype(np.int64)
    probabilities = np.where(np.arange(2) == bright[:, None], 0.9, 0.1)
    labels = bright.copy()
    labels[:3] = 1 - labels[:3]
    return Said(labels, probabilities)


def test_rules_are_those_that_the_net_follows():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"brightness": rng.random(80), "contrast": rng.random(80)})
    found = imitate(table, said_by_brightness(table), ["dark", "bright"], IMITATION, 0)
    assert found["num_rows"] == 60 and found["features"] == ["brightness", "contrast"]
    assert found["tree"]["fidelity"] > 0.9 and found["list"]["fidelity"] > 0.9
    first, second = found["list"]["rules"][:2]
    assert first["rule"].startswith("brightness") and {first["says"], second["says"]} == {
        *("dark", "bright")
    }
    assert sum(rule["num_rows"] for rule in found["list"]["rules"]) == 60
    assert min(rule["accuracy"] for rule in found["tree"]["rules"]) < 1
    assert found == imitate(table, said_by_brightness(table), ["dark", "bright"], IMITATION, 0)


def test_too_few_rows_and_nothing_that_differs_imitate_nothing():
    table = pd.DataFrame({"brightness": np.linspace(0, 1, 19)})
    said = said_by_brightness(table)
    assert imitate(table, said, ["a", "b"], IMITATION, 0) == {}
    table = pd.DataFrame({"brightness": np.full(30, 0.3)})
    assert imitate(table, said_by_brightness(table), ["a", "b"], IMITATION, 0) == {}


def test_numbers_are_rounded_wherever_they_stand():
    document = {"a": [1 / 3, {"b": 2 / 3}], "c": 7, "d": True, "e": None}
    expected = {"a": [0.333333, {"b": 0.666667}], "c": 7, "d": True, "e": None}
    assert rounded(document) == expected
