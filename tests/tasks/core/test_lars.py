"""LARS against a plain loop over the paper's algorithm."""

import math

import pytest
import torch
from torch import nn

from tasks.core.lars import LARS
from tasks.core.optimisers import Lars

OFF = {"l1_penalty": 0.0, "clip_norm": 0.0, "ema_decay": 0.0}


def reference_steps(
    weight: list[float], gradients: list[list[float]], lr, momentum, decay, trust
) -> list[float]:
    velocity = [0.0] * len(weight)
    for gradient in gradients:
        length = math.sqrt(sum(w * w for w in weight))
        pull = math.sqrt(sum(g * g for g in gradient)) + decay * length
        local = trust * length / pull
        for i, (w, g) in enumerate(zip(weight, gradient, strict=True)):
            velocity[i] = momentum * velocity[i] + lr * local * (g + decay * w)
        weight = [w - v for w, v in zip(weight, velocity, strict=True)]
    return weight


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_steps_equal_the_algorithm(momentum, decay):
    rng = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, dtype=torch.float64, generator=rng)
    gradients = torch.randn(6, 3, 4, dtype=torch.float64, generator=rng)
    weight = nn.Parameter(start.clone())
    optimiser = LARS([weight], lr=0.5, momentum=momentum, weight_decay=decay, trust=0.02)
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimiser.step()
    expected = reference_steps(
        start.flatten().tolist(),
        [each.flatten().tolist() for each in gradients],
        *(0.5, momentum, decay, 0.02),
    )
    assert weight.detach().flatten().tolist() == pytest.approx(expected, abs=1e-12)


def test_biases_and_norms_step_as_sgd():
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    vectors = [weight for weight in nets[1].parameters() if weight.ndim == 1]
    asked = {"momentum": 0.9, "weight_decay": 0.1, "trust": 0.001, **OFF}
    groups = [
        {
            "params": [each for each in nets[0].parameters() if (each.ndim > 1) == are_matrices],
            "are_matrices": are_matrices,
        }
        for are_matrices in (True, False)
    ]
    optimisers = (
        Lars.model_validate({"name": "lars", "learning_rate": 0.3, **asked}).build(groups),
        torch.optim.SGD(vectors, lr=0.3, momentum=0.9),
    )
    matrix = next(nets[0].parameters())
    before = matrix.detach().clone()
    for step in range(3):
        for weight, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            weight.grad = torch.full_like(weight, 0.1 * (step + 1))
            other.grad = weight.grad.clone()
        for optimiser in optimisers:
            optimiser.step()
    for weight, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        if weight.ndim == 1:
            torch.testing.assert_close(weight, other)
    assert not torch.equal(matrix, before)


def test_the_step_hangs_on_the_weight_and_not_on_the_gradient():
    steps = []
    for scale in (1e-3, 1.0, 1e3):
        weight = nn.Parameter(torch.full((2, 2), 3.0))
        weight.grad = torch.full((2, 2), scale)
        LARS([weight], lr=1.0, momentum=0.0, trust=0.01).step()
        steps.append((3.0 - weight.detach()).norm().item())
    assert steps == pytest.approx([0.01 * 6.0] * 3, rel=1e-4)


def test_zeros_are_left_finite():
    weight, idle = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.ones(2, 2))
    weight.grad, idle.grad = torch.ones(2, 2), torch.zeros(2, 2)
    LARS([weight, idle], lr=0.1, momentum=0.0).step()
    assert weight.tolist() == [[pytest.approx(-0.1)] * 2] * 2
    assert torch.equal(idle, torch.ones(2, 2))


def test_it_goes_on_from_its_state():
    def run(num_steps: int, optimiser: LARS, weight: nn.Parameter) -> None:
        for _ in range(num_steps):
            optimiser.zero_grad()
            (weight**2).sum().backward()
            optimiser.step()

    whole, part = (nn.Parameter(torch.arange(1.0, 7.0).view(2, 3)) for _ in range(2))
    run(6, LARS([whole], lr=0.2), whole)
    first = LARS([part], lr=0.2)
    run(3, first, part)
    second = LARS([part], lr=0.2)
    second.load_state_dict(first.state_dict())
    run(3, second, part)
    assert torch.equal(whole, part)
