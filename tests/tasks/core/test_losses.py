"""The losses against plain loops over the papers' equations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tasks.core.losses import balanced_softmax_loss


def reference_balanced(logits, labels, priors, weights, smoothing) -> float:
    total = 0.0
    num_classes = len(priors)
    for row, label, weight in zip(logits, labels, weights, strict=True):
        mass = [prior * math.exp(logit) for prior, logit in zip(priors, row, strict=True)]
        logs = [math.log(each / sum(mass)) for each in mass]
        uniform = sum(logs) / num_classes
        total -= weight * ((1 - smoothing) * logs[label] + smoothing * uniform)
    return total / sum(weights)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), num_rows=st.integers(1, 6), num_classes=st.integers(2, 5))
def test_balanced_softmax_equals_the_plain_loop(data, num_rows, num_classes):
    def numbers(low, high, count):
        return data.draw(st.lists(st.floats(low, high), min_size=count, max_size=count))

    logits = [numbers(-8, 8, num_classes) for _ in range(num_rows)]
    labels = data.draw(
        st.lists(st.integers(0, num_classes - 1), min_size=num_rows, max_size=num_rows)
    )
    shares = numbers(0.01, 1, num_classes)
    priors, weights = [share / sum(shares) for share in shares], numbers(0.05, 1, num_rows)
    smoothing = data.draw(st.sampled_from([0.0, 0.1, 0.5]))
    found = balanced_softmax_loss(
        torch.tensor(logits, dtype=torch.float64),
        torch.tensor(labels),
        torch.tensor(priors, dtype=torch.float64),
        torch.tensor(weights, dtype=torch.float64),
        smoothing,
    )
    expected = reference_balanced(logits, labels, priors, weights, smoothing)
    assert found.item() == pytest.approx(expected, abs=1e-9)


def test_uniform_priors_and_weights_give_plain_cross_entropy():
    torch.manual_seed(0)
    logits, labels = torch.randn(9, 4), torch.arange(9) % 4
    found = balanced_softmax_loss(logits, labels, torch.full((4,), 0.25), torch.ones(9), 0.1)
    torch.testing.assert_close(found, F.cross_entropy(logits, labels, label_smoothing=0.1))


def test_a_row_without_weight_has_no_say():
    torch.manual_seed(0)
    logits, labels, priors = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1]), torch.ones(3) / 3
    weights = torch.tensor([1.0, 0.5, 0.0, 1.0, 0.0])
    changed = logits.clone()
    changed[2] += 100
    some = weights > 0
    expected = balanced_softmax_loss(logits[some], labels[some], priors, weights[some], 0.0)
    for each in (logits, changed):
        torch.testing.assert_close(
            balanced_softmax_loss(each, labels, priors, weights, 0.0), expected
        )
