"""Optimisers take torch's own steps; decay, penalty, clipping and averages are their formulas."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tasks.core.optimisation import Optimisation, find_matrices, make_optimisation
from tasks.core.optimisers import Optimiser
from tasks.core.schedules import Schedule
from tests.nets import small_classifier
from tests.tasks.core.test_lars import reference_steps

OPTIMISERS, SCHEDULES = TypeAdapter(Optimiser), TypeAdapter(Schedule)
ADAM = {"betas": [0.8, 0.99], "epsilon": 1e-7}
SECTIONS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
    "nesterov": {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.0},
    "adam": ADAM,
    "adamw": {**ADAM, "weight_decay": 0.0},
    "rmsprop": {"alpha": 0.95, "epsilon": 1e-6, "momentum": 0.5, "weight_decay": 0.0},
    "adagrad": {"epsilon": 1e-6, "weight_decay": 0.0},
    "lars": {"momentum": 0.9, "weight_decay": 0.0, "trust": 0.02},
}
TORCH: dict[str, Any] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, 0.05, betas=(0.8, 0.99), eps=1e-7),
    "adamw": lambda p: torch.optim.AdamW(p, 0.05, (0.8, 0.99), 1e-7, weight_decay=0.0),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.05, 0.95, 1e-6, momentum=0.5),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.05, eps=1e-6),
}
DECAYING = [name for name in SECTIONS if name not in ("adam", "lars")]
every_kind = pytest.mark.parametrize("kind", SECTIONS)


def section(kind: str, **changed: Any) -> Optimiser:
    off = {"learning_rate": 0.05, "l1_penalty": 0.0, "clip_norm": 0.0, "ema_decay": 0.0}
    return OPTIMISERS.validate_python({"name": kind, **off, **SECTIONS[kind], **changed})


def schedule(**given: Any) -> Schedule:
    return SCHEDULES.validate_python(given or {"name": "constant"})


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3))


def optimisation(net: nn.Module, kind: str = "sgd", **changed: Any) -> Optimisation:
    return make_optimisation(net, section(kind, **changed), schedule(), 5, 4)


def give_gradients(net: nn.Module, seed: int, scale: float = 1.0) -> None:
    rng = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.grad = scale * torch.randn(parameter.shape, generator=rng)


def values(net: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


@pytest.mark.parametrize("kind", TORCH)
@pytest.mark.parametrize("first_step_of_all", [0, 7])
def test_steps_are_those_of_torch(kind, first_step_of_all):
    """Also where a layer of the net begins to learn after the others."""
    ours, theirs = small_net(), small_net()
    taught = optimisation(ours, kind)
    reference = TORCH[kind](theirs.parameters())
    for step in range(25):
        for net in (ours, theirs):
            give_gradients(net, step)
            if step < first_step_of_all:
                net.get_parameter("0.weight").grad = None
        taught.step()
        reference.step()
    torch.testing.assert_close(values(ours), values(theirs), rtol=1e-5, atol=1e-6)
    assert all(parameter.grad is None for parameter in ours.parameters())


@pytest.mark.parametrize("first_step_of_all", [0, 7])
def test_lars_scales_and_decays_matrices_and_nothing_else(first_step_of_all):
    net, start = small_net(), small_net()
    taught = optimisation(net, "lars", weight_decay=0.3)
    gradients: dict[str, list[list[float]]] = {name: [] for name, _ in net.named_parameters()}
    for step in range(25):
        give_gradients(net, step)
        if step < first_step_of_all:
            net.get_parameter("0.weight").grad = None
        for name, parameter in net.named_parameters():
            if parameter.grad is not None:
                gradients[name].append(parameter.grad.flatten().tolist())
        taught.step()
    for name, parameter in start.named_parameters():
        weight = parameter.detach().flatten()
        if name in find_matrices(start):
            asked = {"lr": 0.05, "momentum": 0.9, "decay": 0.3, "trust": 0.02}
            expected = reference_steps(weight.tolist(), gradients[name], **asked)
        else:
            velocity = torch.zeros_like(weight)
            for gradient in gradients[name]:
                velocity = 0.9 * velocity + 0.05 * torch.tensor(gradient)
                weight = weight - velocity
            expected = weight.tolist()
        found = net.get_parameter(name).detach().flatten().tolist()
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("kind", [kind for kind in TORCH if kind != "rmsprop"])
def test_steps_are_fused_where_torch_can(kind):
    """RMSprop cannot."""
    taught = optimisation(small_net(), kind)
    assert [group["fused"] for group in taught.optimiser.param_groups] == [True, True]


def test_the_decay_of_adamw_is_that_of_torch():
    ours, theirs = small_net(), small_net()
    taught = optimisation(ours, "adamw", weight_decay=0.3)
    kept = find_matrices(theirs)
    groups = [
        {
            "params": [p for name, p in theirs.named_parameters() if (name in kept) == is_kept],
            "weight_decay": 0.3 if is_kept else 0.0,
        }
        for is_kept in (True, False)
    ]
    reference = torch.optim.AdamW(groups, 0.05, (0.8, 0.99), 1e-7)
    for step in range(25):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        taught.step()
        reference.step()
    torch.testing.assert_close(values(ours), values(theirs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", DECAYING)
def test_decay_is_decoupled_from_the_gradients(kind):
    """With gradients of zero, weights shrink by the rate alone, and nothing else moves."""
    net = small_net()
    before = copy.deepcopy(net.state_dict())
    taught = optimisation(net, kind, weight_decay=0.2)
    for _ in range(3):
        give_gradients(net, 0, scale=0.0)
        taught.step()
    left = {"0.weight": (1 - 0.05 * 0.2) ** 3, "3.weight": (1 - 0.05 * 0.2) ** 3}
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.data, before[name] * left.get(name, 1.0))


def test_a_weight_without_a_gradient_stays():
    net = small_net()
    before = copy.deepcopy(net.state_dict())
    taught = optimisation(net, "adamw", weight_decay=0.5, l1_penalty=0.5)
    give_gradients(net, 0)
    net.get_parameter("0.weight").grad = None
    taught.step()
    assert torch.equal(net.get_parameter("0.weight"), before["0.weight"])
    assert not torch.equal(net.get_parameter("3.weight"), before["3.weight"])


def test_penalties_are_for_weights_alone():
    net = small_classifier()
    matrices = find_matrices(net)
    for name, parameter in net.named_parameters():
        assert (name in matrices) == (parameter.ndim in (2, 4)), name
    assert "head.weight" in matrices and "head.bias" not in matrices
    attention = nn.TransformerEncoderLayer(8, 2)
    assert {"self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight"} <= (
        find_matrices(attention)
    )
    assert not {name for name in find_matrices(attention) if "norm" in name or "bias" in name}


def test_the_l1_penalty_finds_the_lasso():
    """Least squares on orthonormal features has a known answer: the soft-thresholded projection
    (Tibshirani, 1996), with exact zeros."""
    rng = np.random.default_rng(0)
    features_ND = np.linalg.qr(rng.normal(size=(40, 6)))[0]
    targets_N = features_ND @ np.array([2.0, -1.5, 0.02, 0.0, 0.7, -0.05])
    projected_D = features_ND.T @ targets_N
    expected_D = np.sign(projected_D) * np.maximum(np.abs(projected_D) - 0.1, 0)
    net = nn.Linear(6, 1, bias=False).double()
    taught = optimisation(net, "sgd", momentum=0.0, learning_rate=0.5, l1_penalty=0.1)
    x_ND, y_N = torch.from_numpy(features_ND), torch.from_numpy(targets_N)
    for _ in range(200):
        (0.5 * (net(x_ND)[:, 0] - y_N).square().sum()).backward()
        taught.step()
    found_D = net.weight.data[0].numpy()
    np.testing.assert_allclose(found_D, expected_D, atol=1e-9)
    assert (found_D == 0).tolist() == (expected_D == 0).tolist() == [0, 0, 1, 1, 0, 1]


@pytest.mark.parametrize("scale", [0.001, 10.0])
def test_gradients_are_clipped_together(scale):
    net = small_net()
    before = values(net)
    taught = optimisation(net, "sgd", momentum=0.0, clip_norm=0.7)
    give_gradients(net, 0, scale)
    gradient = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
    clipped = gradient * min(1.0, 0.7 / gradient.norm().item())
    taught.step()
    torch.testing.assert_close(before - values(net), 0.05 * clipped, rtol=1e-4, atol=1e-7)


@every_kind
def test_all_optimisers_clip_before_their_step_and_shrink_after_it(kind):
    def learnt(scale_of: Callable[[float], float], **changed: float) -> dict[str, torch.Tensor]:
        net = small_net()
        taught = optimisation(net, kind, **changed)
        give_gradients(net, 0)
        norm = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]).norm()
        give_gradients(net, 0, scale_of(norm.item()))
        taught.step()
        return dict(net.named_parameters())

    plain = learnt(lambda norm: 0.7 / norm)
    found = learnt(lambda norm: 1.0, clip_norm=0.7, l1_penalty=0.6)
    matrices = find_matrices(small_net())
    assert len(matrices) == 2
    for name, weight in plain.items():
        shrunk = torch.sign(weight) * (weight.abs() - 0.05 * 0.6).clamp_min(0)
        expected = shrunk if name in matrices else weight
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-6)


def test_the_average_is_that_of_all_weights_and_statistics():
    net = small_net()
    taught = optimisation(net, "sgd", ema_decay=0.6)
    expected = {name: value.clone().double() for name, value in net.state_dict().items()}
    for step in range(1, 12):
        net(torch.randn(9, 5) * step)
        give_gradients(net, step)
        taught.step()
        decay = min(0.6, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value
    expected["1.num_batches_tracked"] = net[1].num_batches_tracked
    averaged = taught.judged_net.state_dict()
    assert list(averaged) == list(net.state_dict())
    for name, value in averaged.items():
        torch.testing.assert_close(value.double(), expected[name].double(), rtol=1e-5, atol=1e-6)
    assert not torch.equal(averaged["0.weight"], net.state_dict()["0.weight"])


def test_without_an_average_the_net_itself_is_judged():
    net = small_net()
    assert optimisation(net).judged_net is net


def test_rates_follow_the_schedule_and_their_fractions():
    net = small_net()
    taught = make_optimisation(
        net,
        section("sgd", momentum=0.0),
        schedule(name="step", after_epochs=[1, 2], factor=0.1),
        num_epochs=3,
        steps_per_epoch=2,
        rate_fractions={"0.weight": 0.5, "0.bias": 0.5},
    )
    assert taught.learning_rate == pytest.approx(0.05)
    for rate in (0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005):
        before = copy.deepcopy(net.state_dict())
        for parameter in net.parameters():
            parameter.grad = torch.ones_like(parameter)
        taught.step()
        assert taught.learning_rate == pytest.approx(rate)
        for name, value in net.named_parameters():
            fraction = 0.5 if name.startswith("0.") else 1.0
            moved = (before[name] - value.data).mean().item()
            assert moved == pytest.approx(rate * fraction, rel=1e-2, abs=1e-7)


def test_the_rate_falls_on_a_plateau_as_torch_would_have_it():
    net = small_net()
    plateau = schedule(name="plateau", factor=0.5, patience=1)
    taught = make_optimisation(net, section("sgd"), plateau, 9, 1, {"0.weight": 0.1})
    reference = torch.optim.SGD(small_net().parameters(), lr=0.05)
    expected = ReduceLROnPlateau(reference, factor=0.5, patience=1, threshold=0.0)
    seen = []
    for loss in (1.0, 0.9, 0.95, 0.91, 0.92, 0.9, 0.89, 0.9, 0.9):
        give_gradients(net, 0)
        taught.step()
        taught.end_epoch(loss)
        expected.step(loss)
        assert taught.learning_rate == pytest.approx(reference.param_groups[0]["lr"])
        seen.append(taught.learning_rate)
    assert seen[0] == pytest.approx(0.05) and seen[-1] < 0.02
    taught.end_epoch(None)
    assert taught.learning_rate == seen[-1]


@every_kind
@pytest.mark.parametrize("falls", ["cosine", "plateau"])
def test_a_resumed_run_ends_with_the_same_bytes(kind, falls):
    given = {
        "cosine": {"name": "cosine", "warmup_epochs": 1},
        "plateau": {"name": "plateau", "factor": 0.5, "patience": 0},
    }[falls]
    changed = {"ema_decay": 0.9, "clip_norm": 1.0, "l1_penalty": 0.001}

    def learn(net: nn.Module, taught: Optimisation, steps: range) -> None:
        for step in steps:
            give_gradients(net, step)
            taught.step()
            if step % 4 == 3:
                taught.end_epoch(1.0)

    def begin() -> tuple[nn.Module, Optimisation]:
        net = small_net()
        return net, make_optimisation(net, section(kind, **changed), schedule(**given), 5, 4)

    whole, uninterrupted = begin()
    learn(whole, uninterrupted, range(20))
    net, taught = begin()
    learn(net, taught, range(9))
    weights, state = copy.deepcopy(net.state_dict()), copy.deepcopy(taught.state_dict())
    resumed, again = begin()
    resumed.load_state_dict(weights)
    again.load_state_dict(state)
    learn(resumed, again, range(9, 20))
    assert torch.equal(values(resumed), values(whole))
    assert torch.equal(values(again.judged_net), values(uninterrupted.judged_net))
    assert again.learning_rate == uninterrupted.learning_rate


@pytest.mark.parametrize(
    ("kind", "changed", "words"),
    [
        ("sgd", {"nesterov": True, "momentum": 0.0}, "expected momentum above 0"),
        ("sgd", {"betas": [0.9, 0.99]}, "Extra inputs"),
        ("adam", {"weight_decay": 0.1}, "Extra inputs"),
        ("adamw", {"betas": [0.9]}, "at least 2 items"),
        ("adamw", {"betas": [0.9, 1.0]}, "less than 1"),
        ("adamw", {"learning_rate": 0.0}, "greater than 0"),
        ("adamw", {"ema_decay": 1.0}, "less than 1"),
        ("adamw", {"learning_rate": 0.5, "weight_decay": 2.0}, "takes off the weights"),
        ("rmsprop", {"clip_norm": -1.0}, "greater than or equal to 0"),
        ("adagrad", {"name": "adadelta"}, "does not match any of the expected tags"),
    ],
)
def test_other_sections_are_refused(kind, changed, words):
    with pytest.raises(ValidationError, match=words):
        section(kind, **changed)
