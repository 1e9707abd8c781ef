"""The losses against plain loops over the papers' equations."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch.nn import functional as F

from tasks.core.losses import (
    ClassificationLoss,
    Loss,
    balanced_softmax_loss,
    make_loss,
    refuse_unreached,
)


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


# The losses of classifiers, each by the sums of its paper, in float64.

SECTIONS: dict[str, dict[str, Any]] = {
    "cross_entropy": {"class_weights": {"name": "none"}},
    "balanced_softmax": {},
    "logit_adjustment": {"tau": 1.7},
    "focal": {"gamma": 2.0, "class_weights": {"name": "none"}},
    "ldam": {"max_margin": 1.5, "class_weights": {"name": "none"}},
    "generalised_cross_entropy": {"q": 0.7, "class_weights": {"name": "none"}},
    "early_learning": {"strength": 3.0, "momentum": 0.7, "class_weights": {"name": "none"}},
}
MEMORYLESS = [name for name in SECTIONS if name != "early_learning"]
COUNTS = [40, 7, 1]
PRIORS = np.array(COUNTS) / 48


def settings_of(name: str, **changed: Any) -> Loss:
    section = {"name": name, "label_smoothing": 0.0, **SECTIONS[name], **changed}
    return TypeAdapter(Loss).validate_python(section)


def loss_of(name: str, **changed: Any) -> ClassificationLoss:
    return make_loss(settings_of(name, **changed), torch.tensor(COUNTS), 50).double()


def value(loss: ClassificationLoss, logits, targets, weights, rows=None, epoch=1) -> float:
    rows = np.arange(len(logits)) if rows is None else rows
    arguments = [torch.as_tensor(each) for each in (logits, targets, weights, rows)]
    return loss(*arguments, epoch).item()


def softmax(row: np.ndarray) -> np.ndarray:
    return np.exp(row) / np.exp(row).sum()


def reference_cost(name: str, row: np.ndarray, label: int) -> float:
    p = softmax(row)
    if name == "cross_entropy":
        return -np.log(p[label])
    if name == "balanced_softmax":
        return -np.log(PRIORS[label] * np.exp(row[label]) / (PRIORS * np.exp(row)).sum())
    if name == "logit_adjustment":
        return -np.log(softmax(row + 1.7 * np.log(PRIORS))[label])
    if name == "focal":
        return -((1 - p[label]) ** 2) * np.log(p[label])
    if name == "ldam":
        lowered = row.copy()
        lowered[label] -= 1.5 * (1 / COUNTS[label]) ** 0.25
        return -np.log(softmax(lowered)[label])
    assert name == "generalised_cross_entropy"
    return (1 - p[label] ** 0.7) / 0.7


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, 3)) * 3, np.arange(12) % 3, rng.uniform(0.05, 1, 12)


@pytest.mark.parametrize("name", MEMORYLESS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_labels_cost_what_the_paper_says(name, smoothing, rows):
    logits, labels, weights = rows
    total = 0.0
    for row, label, weight in zip(logits, labels, weights, strict=True):
        costs = [reference_cost(name, row, other) for other in range(3)]
        total += weight * ((1 - smoothing) * costs[label] + smoothing * np.mean(costs))
    found = value(loss_of(name, label_smoothing=smoothing), logits, labels, weights)
    assert found == pytest.approx(total / weights.sum(), rel=1e-6)


@pytest.mark.parametrize("name", MEMORYLESS)
def test_a_mixture_costs_its_shares(name, rows):
    logits, _, weights = rows
    shares = np.random.default_rng(1).dirichlet(np.ones(3), 12)
    total = sum(
        weight * share[label] * reference_cost(name, row, label)
        for row, share, weight in zip(logits, shares, weights, strict=True)
        for label in range(3)
    )
    found = value(loss_of(name), logits, shares, weights)
    assert found == pytest.approx(total / weights.sum(), rel=1e-6)


@pytest.mark.parametrize("name", SECTIONS)
def test_rows_without_weight_have_no_say(name, rows):
    logits, labels, weights = rows
    silent = np.where(labels == 1, 0.0, weights)
    some = labels != 1
    expected = value(loss_of(name), logits[some], labels[some], weights[some])
    changed = logits + 5 * (labels == 1)[:, None] * np.array([1, 0, -1])
    assert value(loss_of(name), changed, labels, silent) == pytest.approx(expected)


@pytest.mark.parametrize("name", [name for name in SECTIONS if "class_weights" in SECTIONS[name]])
def test_class_weights_are_weights_of_rows_from_their_epoch_on(name, rows):
    logits, labels, weights = rows

    weights_K = {"name": "inverse_frequency", "from_epoch": 3}
    of_classes = 1 / np.array(COUNTS)
    for epoch in (1, 2, 3, 4):
        begun = of_classes[labels] if epoch >= 3 else np.ones(12)
        # Made anew for each epoch, as early learning remembers the one before.
        expected = value(loss_of(name), logits, labels, weights * begun)
        found = value(loss_of(name, class_weights=weights_K), logits, labels, weights, epoch=epoch)
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", SECTIONS)
def test_no_value_is_asked_of_the_device(name):
    """Tensors on `meta` have none, as those of a device that still computes."""
    loss = loss_of(name).to("meta")
    logits = torch.empty(12, 3, dtype=torch.float64, device="meta", requires_grad=True)
    weights = torch.empty(12, dtype=torch.float64, device="meta")
    labels, rows = (torch.empty(12, dtype=torch.int64, device="meta") for _ in range(2))
    loss(logits, labels, weights, rows, 2).backward()
    assert logits.grad is not None


def test_class_weights_are_those_of_torch(rows):
    logits, labels, _ = rows
    weighted = loss_of(
        "cross_entropy",
        class_weights={"name": "effective_number", "beta": 0.9, "from_epoch": 1},
    )
    expected = F.cross_entropy(
        torch.tensor(logits), torch.tensor(labels), weight=weighted.class_weights_K
    )
    assert value(weighted, logits, labels, np.ones(12)) == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("name", "changed", "other", "same"),
    [
        ("focal", {"gamma": 0.0}, "cross_entropy", {}),
        ("ldam", {"max_margin": 0.0}, "cross_entropy", {}),
        ("logit_adjustment", {"tau": 1.0}, "balanced_softmax", {}),
        ("logit_adjustment", {"tau": 1e-9}, "cross_entropy", {}),
        ("generalised_cross_entropy", {"q": 1e-9}, "cross_entropy", {}),
        ("early_learning", {"strength": 1e-12}, "cross_entropy", {}),
    ],
)
def test_at_their_ends_losses_are_others(name, changed, other, same, rows):
    for smoothing in (0.0, 0.1):
        one = loss_of(name, label_smoothing=smoothing, **changed)
        two = loss_of(other, label_smoothing=smoothing, **same)
        assert value(one, *rows) == pytest.approx(value(two, *rows), rel=1e-6)


def test_generalised_cross_entropy_ends_in_the_absolute_error(rows):
    logits, labels, weights = rows
    wrong = np.array([np.abs(np.eye(3)[y] - softmax(row)).sum() / 2 for row, y in
                      zip(logits, labels, strict=True)])  # fmt: skip
    found = value(loss_of("generalised_cross_entropy", q=1.0), logits, labels, weights)
    assert found == pytest.approx((weights * wrong).sum() / weights.sum())


def test_balanced_softmax_is_cross_entropy_where_classes_are_equal(rows):
    equal = torch.full((3,), 9)
    losses = [make_loss(settings_of(n), equal, 50).double() for n in SECTIONS if "_" in n][:2]
    assert value(losses[0], *rows) == pytest.approx(value(losses[1], *rows))


def test_margins_are_greatest_for_the_smallest_class():
    """Beside a sure label, the loss is the margin: the logit must lead by so much more."""
    loss = loss_of("ldam")
    for label, count in enumerate(COUNTS):
        logits = np.zeros((1, 3))
        logits[0, label] = -40.0
        margin = value(loss, logits, [label], [1.0]) - 40 - np.log(2)
        assert margin == pytest.approx(1.5 * (1 / count) ** 0.25)


def test_early_learning_holds_a_row_to_what_was_said_of_it(rows):
    logits, labels, weights = rows
    loss, said = loss_of("early_learning"), np.zeros((50, 3))
    of_rows = np.arange(12) * 4
    for epoch in range(1, 5):
        seen = logits * epoch / 2
        p = np.clip([softmax(row) for row in seen], 1e-4, 1 - 1e-4)
        said[of_rows] = 0.7 * said[of_rows] + 0.3 * p / p.sum(axis=1, keepdims=True)
        held = (weights * np.log(1 - (said[of_rows] * p).sum(axis=1))).sum() / weights.sum()
        plain = value(loss_of("cross_entropy"), seen, labels, weights)
        found = value(loss, seen, labels, weights, of_rows, epoch)
        assert found == pytest.approx(plain + 3 * held, rel=1e-6)
    remembered = loss.state_dict()
    assert list(remembered) == ["said_MK"]
    np.testing.assert_allclose(remembered["said_MK"].numpy(), said, rtol=1e-6)


def test_early_learning_pulls_a_late_wrong_label_less():
    """Of a row that was said to be of class 0 for long, a label of 1 pulls less (figure 2)."""
    loss = loss_of("early_learning")
    early = np.array([[4.0, 0.0, 0.0]])
    for epoch in range(1, 20):
        value(loss, early, [0], [1.0], [5], epoch)
    slopes = []
    for each in (loss_of("cross_entropy"), loss):
        logits = torch.tensor(early, requires_grad=True)
        value_of = each(logits, torch.tensor([1]), torch.ones(1).double(), torch.tensor([5]), 20)
        slopes.append(torch.autograd.grad(value_of, logits)[0].abs().sum().item())
    assert slopes[1] < 0.8 * slopes[0]


@pytest.mark.parametrize("name", SECTIONS)
@pytest.mark.parametrize("reach", [1.0, 60.0, 1e4])
def test_slopes_are_finite_and_right_however_sure_the_net(name, reach):
    changed = {"gamma": 0.5} if name == "focal" else {}
    loss = make_loss(settings_of(name, **changed), torch.tensor(COUNTS), 50)
    logits = (reach * torch.eye(3)).repeat(3, 1).requires_grad_()
    labels, ones, numbers = torch.arange(9) // 3, torch.ones(9), torch.arange(9)
    found = loss(logits, labels, ones, numbers, 1)
    found.backward()
    assert torch.isfinite(found) and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", MEMORYLESS)
def test_the_slope_is_that_of_the_value(name):
    loss = loss_of(name)
    torch.manual_seed(0)
    logits = (2 * torch.randn(6, 3, dtype=torch.float64)).requires_grad_()
    labels, weights = torch.arange(6) % 3, torch.rand(6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels, weights, torch.arange(6), 1), logits)


@pytest.mark.parametrize(
    ("name", "changed", "words"),
    [
        ("balanced_softmax", {"class_weights": {"name": "none"}}, "Extra inputs"),
        ("logit_adjustment", {"tau": 0.0}, "greater than 0"),
        ("focal", {"gamma": -1.0}, "greater than or equal to 0"),
        ("generalised_cross_entropy", {"q": 1.5}, "less than or equal to 1"),
        ("early_learning", {"momentum": 1.0}, "less than 1"),
        ("ldam", {"class_weights": {"name": "drw"}}, "does not match any"),
        ("cross_entropy", {"label_smoothing": 1.0}, "less than 1"),
    ],
)
def test_other_losses_are_refused(name, changed, words):
    with pytest.raises(ValidationError, match=words):
        settings_of(name, **changed)


def test_class_weights_that_never_begin_are_refused():
    late = settings_of("ldam", class_weights={"name": "inverse_frequency", "from_epoch": 9})
    with pytest.raises(ValueError, match="would never begin"):
        refuse_unreached(late, 8)
    for num_epochs in (9, 0):
        refuse_unreached(late, num_epochs)
