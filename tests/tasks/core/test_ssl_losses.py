"""The losses against plain loops over the papers' equations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.ssl_losses import (
    barlow_twins_loss,
    info_nce_loss,
    negative_cosine_loss,
    nt_xent_loss,
    off_diagonal,
    reconstruction_loss,
    regression_loss,
    standardise,
    vicreg_loss,
)

Rows = list[list[float]]


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def reference_nt_xent(first: torch.Tensor, second: torch.Tensor, temperature: float) -> float:
    z = [*first.tolist(), *second.tolist()]
    num_images, total = len(first), 0.0
    for i in range(2 * num_images):
        other = (i + num_images) % (2 * num_images)
        denominator = 0.0
        for k in range(2 * num_images):
            if k != i:
                denominator += math.exp(cosine(z[i], z[k]) / temperature)
        total -= math.log(math.exp(cosine(z[i], z[other]) / temperature) / denominator)
    return total / (2 * num_images)


@pytest.mark.parametrize("num_images", [1, 2, 5, 16])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_nt_xent_equals_the_double_loop(num_images, temperature):
    torch.manual_seed(num_images)
    first, second = torch.randn(2, num_images, 7, dtype=torch.float64) * 3
    expected = reference_nt_xent(first, second, temperature)
    assert nt_xent_loss(first, second, temperature).item() == pytest.approx(expected, abs=1e-10)


def test_nt_xent_is_least_where_views_agree_and_images_differ():
    apart = torch.eye(6)
    agree, collapse = (
        nt_xent_loss(apart, apart, 0.2),
        nt_xent_loss(torch.ones(6, 6), torch.ones(6, 6), 0.2),
    )
    mixed = nt_xent_loss(apart, apart.roll(1, dims=0), 0.2)
    assert agree < collapse < mixed
    assert collapse.item() == pytest.approx(math.log(11))


def test_nt_xent_can_be_learnt():
    torch.manual_seed(0)
    z = torch.randn(2, 8, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: nt_xent_loss(x[0], x[1], 0.5), z)


def pair(num_images: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(100 * seed + num_images)
    first, second = torch.randn(2, num_images, width, dtype=torch.float64, generator=rng) * 2
    return first, second + 0.5


shapes = pytest.mark.parametrize(("num_images", "width"), [(2, 1), (3, 5), (8, 4), (5, 9)])


def reference_info_nce(queries: Rows, keys: Rows, queue: Rows, temperature: float) -> float:
    total = 0.0
    for query, key in zip(queries, keys, strict=True):
        right = math.exp(cosine(query, key) / temperature)
        wrong = sum(math.exp(cosine(query, other) / temperature) for other in queue)
        total -= math.log(right / (right + wrong))
    return total / len(queries)


@shapes
@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_info_nce_equals_the_double_loop(num_images, width, temperature):
    queries, keys = pair(num_images, width)
    queue = torch.nn.functional.normalize(pair(11, width, 1)[0], dim=1)
    expected = reference_info_nce(queries.tolist(), keys.tolist(), queue.tolist(), temperature)
    found = info_nce_loss(queries, keys, queue, temperature)
    assert found.item() == pytest.approx(expected, abs=1e-10)


def reference_distance(predictions: Rows, targets: Rows) -> float:
    total = 0.0
    for predicted, target in zip(predictions, targets, strict=True):
        lengths = [math.sqrt(sum(x * x for x in row)) for row in (predicted, target)]
        total += sum(
            (p / lengths[0] - t / lengths[1]) ** 2 for p, t in zip(predicted, target, strict=True)
        )
    return total / len(predictions)


@shapes
def test_regression_is_the_distance_on_the_sphere(num_images, width):
    predictions, targets = pair(num_images, width)
    expected = reference_distance(predictions.tolist(), targets.tolist())
    assert regression_loss(predictions, targets).item() == pytest.approx(expected, abs=1e-10)


@shapes
def test_negative_cosine_equals_the_loop(num_images, width):
    predictions, projections = pair(num_images, width)
    pairs = zip(predictions.tolist(), projections.tolist(), strict=True)
    expected = -sum(cosine(p, z) for p, z in pairs) / num_images
    found = negative_cosine_loss(predictions, projections)
    assert found.item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    "loss",
    [
        regression_loss,
        negative_cosine_loss,
        lambda a, b: info_nce_loss(a, b, torch.eye(4, dtype=torch.float64), 0.2),
    ],
)
def test_what_teaches_does_not_learn(loss):
    learner, teacher = (each.requires_grad_() for each in pair(6, 4))
    loss(learner, teacher).backward()
    assert learner.grad is not None and learner.grad.abs().sum() > 0
    assert teacher.grad is None


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def columns(rows: Rows) -> Rows:
    return [list(column) for column in zip(*rows, strict=True)]


def reference_barlow_twins(first: Rows, second: Rows, redundancy_weight: float) -> float:
    total = 0.0
    for i, a in enumerate(columns(first)):
        for j, b in enumerate(columns(second)):
            around_a, around_b = [x - mean(a) for x in a], [y - mean(b) for y in b]
            correlation = sum(x * y for x, y in zip(around_a, around_b, strict=True))
            correlation /= math.sqrt(sum(x * x for x in around_a))
            correlation /= math.sqrt(sum(y * y for y in around_b))
            if i == j:
                total += (1 - correlation) ** 2
            else:
                total += redundancy_weight * correlation**2
    return total


@shapes
def test_barlow_twins_equals_the_double_loop(num_images, width):
    first, second = pair(num_images, width)
    expected = reference_barlow_twins(first.tolist(), second.tolist(), 0.03)
    assert barlow_twins_loss(first, second, 0.03).item() == pytest.approx(expected, abs=1e-9)


def covariance(a: list[float], b: list[float]) -> float:
    both = zip(a, b, strict=True)
    return sum((x - mean(a)) * (y - mean(b)) for x, y in both) / (len(a) - 1)


def reference_vicreg(first: Rows, second: Rows, weights: tuple[float, float, float]) -> float:
    num_images, width = len(first), len(first[0])
    distance = sum(
        (x - y) ** 2
        for row, other in zip(first, second, strict=True)
        for x, y in zip(row, other, strict=True)
    )
    hinge, redundancy = 0.0, 0.0
    for view in (columns(first), columns(second)):
        hinge += mean([max(0.0, 1 - math.sqrt(covariance(c, c) + 1e-4)) for c in view]) / 2
        for i, a in enumerate(view):
            for j, b in enumerate(view):
                redundancy += covariance(a, b) ** 2 / width if i != j else 0.0
    terms = (distance / (num_images * width), hinge, redundancy)
    return sum(weight * term for weight, term in zip(weights, terms, strict=True))


@shapes
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_vicreg_equals_the_loops(num_images, width, scale):
    # At a tenth of the scale the hinge of the variance is at work.
    first, second = (scale * each for each in pair(num_images, width))
    weights = (25.0, 24.0, 1.5)
    expected = reference_vicreg(first.tolist(), second.tolist(), weights)
    found = vicreg_loss(first, second, *weights)
    assert found.item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("loss", [barlow_twins_loss, vicreg_loss])
def test_a_collapsed_batch_costs_more_than_a_spread_one(loss):
    weights = (0.01,) if loss is barlow_twins_loss else (25.0, 25.0, 1.0)
    rng = torch.Generator().manual_seed(0)
    spread = torch.randn(256, 8, generator=rng)
    assert loss(spread, spread, *weights) < 0.3 * loss(
        torch.ones(256, 8), torch.ones(256, 8), *weights
    )
    alike = spread[:, :1].expand(-1, 8)
    assert loss(spread, spread, *weights) < 0.9 * loss(alike, alike, *weights)


def reference_reconstruction(predicted, patches, is_masked) -> float:
    errors = []
    for image, rows in enumerate(is_masked):
        for number, masked in enumerate(rows):
            if masked:
                patch = patches[image][number]
                variance = covariance(patch, patch) + 1e-6
                target = [(x - mean(patch)) / math.sqrt(variance) for x in patch]
                both = zip(predicted[image][number], target, strict=True)
                errors.append(mean([(p - t) ** 2 for p, t in both]))
    return mean(errors)


def test_reconstruction_is_measured_on_masked_patches_alone():
    rng = torch.Generator().manual_seed(0)
    predicted, patches = torch.randn(2, 3, 4, 6, dtype=torch.float64, generator=rng)
    is_masked = torch.rand(3, 4, generator=rng) < 0.6
    found = reconstruction_loss(predicted, patches, is_masked)
    expected = reference_reconstruction(predicted.tolist(), patches.tolist(), is_masked.tolist())
    assert found.item() == pytest.approx(expected, abs=1e-10)
    seen_changed = predicted + 9 * (~is_masked)[..., None]
    assert reconstruction_loss(seen_changed, patches, is_masked) == found
    # Light and contrast of a patch are not asked for.
    assert reconstruction_loss(predicted, 3 * patches + 7, is_masked).item() == pytest.approx(
        expected, abs=1e-4
    )


@settings(max_examples=30, deadline=None)
@given(num_images=st.integers(2, 9), width=st.integers(2, 6), seed=st.integers(0, 99))
def test_the_order_of_the_images_says_nothing(num_images, width, seed):
    first, second = pair(num_images, width, seed)
    order = torch.randperm(num_images, generator=torch.Generator().manual_seed(seed))
    losses = (
        lambda a, b: nt_xent_loss(a, b, 0.3),
        lambda a, b: barlow_twins_loss(a, b, 0.1),
        lambda a, b: vicreg_loss(a, b, 1.0, 1.0, 1.0),
        regression_loss,
        negative_cosine_loss,
    )
    for loss in losses:
        torch.testing.assert_close(loss(first[order], second[order]), loss(first, second))


def test_the_parts_of_a_matrix_and_its_scale():
    matrix = torch.arange(9.0).view(3, 3)
    assert off_diagonal(matrix).tolist() == [1, 2, 3, 5, 6, 7]
    scaled = standardise(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    assert scaled.tolist() == [[-1, 0], [1, 0]]


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b: nt_xent_loss(a, b, 0.2),
        lambda a, b: info_nce_loss(a, b, torch.cat([b, a]), 0.2),
        lambda a, b: barlow_twins_loss(a, b, 0.1),
        lambda a, b: vicreg_loss(a, b, 1.0, 1.0, 1.0),
        lambda a, b: reconstruction_loss(a[:, :, None], b[:, :, None], a > b),
        regression_loss,
        negative_cosine_loss,
    ],
)
def test_no_loss_asks_for_a_value(loss):
    """Tensors on `meta` have none, as those of a device that still computes."""
    first, second = torch.empty(2, 8, 5, device="meta", requires_grad=True).unbind()
    loss(first, second).backward()
