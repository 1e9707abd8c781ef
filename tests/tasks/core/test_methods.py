"""Each method learns, goes on from its state, and teaches the way its paper says."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn
from torch.nn import functional as F

from tasks.core.encoder import Encoder
from tasks.core.methods import Method, make_method
from tasks.core.self_supervised import SelfSupervised, make_mlp
from tasks.core.ssl_losses import info_nce_loss, negative_cosine_loss, regression_loss
from tasks.core.teachers import ByolNet, MocoNet, cosine_momentum
from tests.nets import tiny
from tests.tasks.core.test_ssl_losses import (
    reference_barlow_twins,
    reference_nt_xent,
    reference_vicreg,
)

SHAPE = (8, 8, 3)
WIDTHS = {"projector_width": 16, "projection_width": 8}
METHODS = {
    "simclr": {"temperature": 0.2},
    "moco": {"temperature": 0.2, "queue_length": 20, "momentum": 0.9},
    "byol": {"predictor_width": 16, "momentum": 0.9},
    "simsiam": {"predictor_width": 4},
    "barlow_twins": {"redundancy_weight": 0.005},
    "vicreg": {"invariance_weight": 25.0, "variance_weight": 25.0, "covariance_weight": 1.0},
}
every_method = pytest.mark.parametrize("name", METHODS)


def section(name: str, **changed) -> Method:
    return TypeAdapter(Method).validate_python({"name": name, **WIDTHS, **METHODS[name], **changed})


def new_method(name: str, **changed) -> SelfSupervised:
    torch.manual_seed(0)
    encoder = Encoder(tiny(), [0.5] * 3, [0.25] * 3, SHAPE[0])
    return make_method(section(name, **changed), encoder, SHAPE)


def views(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two noisy views of 16 images, of four looks, that differ from batch to batch."""
    rng = torch.Generator().manual_seed(number)
    looks = torch.randint(40, 216, (4, *SHAPE), generator=torch.Generator().manual_seed(99))
    images = looks[torch.arange(16) % 4]
    first, second = (images + torch.randint(-30, 30, (16, *SHAPE), generator=rng) for _ in "12")
    return first.to(torch.uint8), second.to(torch.uint8)


def teach(method: SelfSupervised, steps: range) -> tuple[list[float], torch.optim.Optimizer]:
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.02)
    losses = []
    for step in steps:
        loss = method(*views(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        method.end_step(step / 40)
        losses.append(loss.item())
    return losses, optimiser


@every_method
def test_it_learns_repeatably(name):
    losses, _ = teach(new_method(name), range(40))
    assert losses == teach(new_method(name), range(40))[0]
    assert sum(losses[-5:]) < sum(losses[1:6])


@every_method
def test_it_goes_on_from_its_state(name):
    whole, first = new_method(name), new_method(name)
    losses, _ = teach(whole, range(12))
    teach(first, range(6))
    torch.manual_seed(1)
    second = make_method(section(name), new_method(name).encoder, SHAPE)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert teach(second, range(6, 12))[0] == losses[6:]
    for key, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


@every_method
def test_every_weight_that_may_learn_does(name):
    method = new_method(name)
    method(*views(0)).backward()
    idle = [
        key
        for key, weight in method.named_parameters()
        if weight.requires_grad and (weight.grad is None or not weight.grad.abs().sum() > 0)
    ]
    # A bias before batch norm, or before a difference of features, moves nothing.
    allowed = {"projector.3.bias", "projector.6.bias", "projector.0.6.bias"}
    assert set(idle) <= allowed
    assert not any(
        weight.requires_grad for key, weight in method.named_parameters() if "teacher" in key
    )


@every_method
def test_losses_are_computed_in_float32(name):
    method = new_method(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = method(*views(0))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(new_method(name)(*views(0)).item(), rel=0.15, abs=0.05)


@pytest.mark.parametrize("name", ["moco", "byol"])
@pytest.mark.parametrize("progress", [0.0, 0.2, 0.5, 1.0])
def test_the_teacher_follows_by_its_momentum(name, progress):
    """Which in BYOL rises to 1 along half a cosine."""
    method = new_method(name, momentum=0.75)
    assert isinstance(method, MocoNet | ByolNet)
    before = [weight.clone() for weight in method.teacher.parameters()]
    taught = [*method.encoder.parameters(), *method.projector.parameters()]
    with torch.no_grad():
        for weight in taught:
            weight.add_(1.0)
    method.end_step(progress)
    moved = 0.25 if name == "moco" else 0.25 * (1 + math.cos(math.pi * progress)) / 2
    for was, now in zip(before, method.teacher.parameters(), strict=True):
        torch.testing.assert_close(now, was + moved)


def test_moco_asks_for_the_keys_of_the_teacher_and_queues_them():
    method, twin = (new_method("moco") for _ in range(2))
    assert isinstance(method, MocoNet) and isinstance(twin, MocoNet)
    first, second = views(0)
    queue = method.queue_QD.clone()
    assert torch.allclose(queue.norm(dim=1), torch.ones(20))
    loss = method(first, second)
    queries, keys = twin.projector(twin.encoder(first)), twin.teacher(second)
    torch.testing.assert_close(loss, info_nce_loss(queries, keys, queue, 0.2))
    expected = torch.cat([F.normalize(keys, dim=1), queue[:4]])
    torch.testing.assert_close(method.queue_QD, expected)
    method(*views(1))
    torch.testing.assert_close(method.queue_QD[16:], expected[:4])


def test_byol_predicts_what_the_teacher_makes_of_the_other_view():
    method, twin = (new_method("byol") for _ in range(2))
    assert isinstance(method, ByolNet) and isinstance(twin, ByolNet)
    with torch.no_grad():
        for one in (method, twin):
            for weight in one.encoder.parameters():
                weight.mul_(1.5)
    first, second = views(0)
    p1, p2 = (twin.predictor(twin.projector(twin.encoder(view))) for view in (first, second))
    t1, t2 = (twin.teacher(view) for view in (first, second))
    expected = regression_loss(p1, t2) + regression_loss(p2, t1)
    torch.testing.assert_close(method(first, second), expected)


def test_simsiam_compares_across_views():
    method, twin = (new_method("simsiam") for _ in range(2))
    first, second = views(0)
    (z1, z2) = (twin.projector(twin.encoder(view)) for view in (first, second))  # type: ignore[operator]
    p1, p2 = (twin.predictor(z) for z in (z1, z2))  # type: ignore[operator]
    expected = (negative_cosine_loss(p1, z2) + negative_cosine_loss(p2, z1)) / 2
    torch.testing.assert_close(method(first, second), expected)


def projections(method: SelfSupervised, images: torch.Tensor) -> torch.Tensor:
    """What encoder and projector make of images, the projector written out."""
    mean, std = method.encoder.mean, method.encoder.std
    h_ND = method.encoder.net(((images / 255).permute(0, 3, 1, 2) - mean) / std)  # type: ignore[operator]
    layers: Any = method.projector
    for linear, norm in zip(layers[:-1:3], layers[1:-1:3], strict=True):
        h_ND = h_ND @ linear.weight.T
        h_ND = (h_ND - h_ND.mean(dim=0)) / (h_ND.var(dim=0, correction=0) + 1e-5).sqrt()
        h_ND = (h_ND * norm.weight + norm.bias).clamp_min(0)
    return h_ND @ layers[-1].weight.T + layers[-1].bias


Reference = Callable[[torch.Tensor, torch.Tensor, dict[str, float]], float]
WIRED: dict[str, tuple[dict[str, float], int, Reference]] = {
    "simclr": (
        {"temperature": 0.37},
        1,
        lambda z1, z2, asked: reference_nt_xent(z1, z2, asked["temperature"]),
    ),
    "barlow_twins": (
        {"redundancy_weight": 0.083},
        2,
        lambda z1, z2, asked: reference_barlow_twins(
            z1.tolist(), z2.tolist(), asked["redundancy_weight"]
        ),
    ),
    "vicreg": (
        {"invariance_weight": 3.0, "variance_weight": 11.0, "covariance_weight": 7.0},
        2,
        lambda z1, z2, asked: reference_vicreg(
            z1.tolist(),
            z2.tolist(),
            (asked["invariance_weight"], asked["variance_weight"], asked["covariance_weight"]),
        ),
    ),
}


@pytest.mark.parametrize("name", WIRED)
def test_the_loss_is_that_of_the_paper_on_projections_of_both_views(name):
    asked, num_hidden, reference = WIRED[name]
    method, twin = (new_method(name, **asked) for _ in range(2))
    views_of = views(0)
    assert len(list(twin.projector.children())) == 3 * num_hidden + 1
    with torch.no_grad():
        if name == "simclr":  # whose batch norm sees both views at once
            z1, z2 = projections(twin, torch.cat(views_of)).chunk(2)
        else:
            z1, z2 = (projections(twin, view) for view in views_of)
    expected = reference(z1, z2, asked)
    assert method(*views_of).item() == pytest.approx(expected, rel=1e-4)
    for param, value in asked.items():
        other = reference(z1, z2, {**asked, param: 1.01 * value})
        assert other != pytest.approx(expected, rel=2e-4), f"{param} says nothing here"


def test_momentum_runs_to_1_along_a_cosine():
    momenta = [cosine_momentum(0.9, progress) for progress in (0.0, 0.5, 1.0)]
    assert momenta == pytest.approx([0.9, 0.95, 1.0])
    steps = [cosine_momentum(0.5, step / 50) for step in range(51)]
    assert steps == sorted(steps)


def test_a_projector_leads_from_width_to_width():
    projector = make_mlp(6, 9, 9, 4)
    assert projector(torch.randn(5, 6)).shape == (5, 4)
    kinds = [type(layer) for layer in projector]
    hidden = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert kinds == [*hidden, *hidden, nn.Linear]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "dino"},
        {"name": "moco", "temperature": 0.2, **WIDTHS},
        {"name": "simclr", "temperature": 0.2, "queue_length": 9, **WIDTHS},
        {"name": "byol", "predictor_width": 4, "momentum": 1.0, **WIDTHS},
        {"name": "simclr", "temperature": 0.0, **WIDTHS},
    ],
)
def test_other_methods_are_refused(wrong):
    with pytest.raises(ValidationError):
        TypeAdapter(Method).validate_python(wrong)
