"""FixMatch is what its paper says: sure rows alone, no gradient through what is taken for true, and
rows that hang on the batch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tasks.core.batches import Batch, Part, parts_of
from tasks.core.fixmatch import fixmatch_loss, keeping_statistics, predicting, rows_beside

UNLABELLED = np.arange(100, 140)


def reference(weak: list[list[float]], strong: list[list[float]], threshold: float) -> float:
    """Equation 4, an image at a time."""
    total = 0.0
    for one, other in zip(weak, strong, strict=True):
        probabilities = [math.exp(x) / sum(math.exp(y) for y in one) for x in one]
        surest = max(range(len(one)), key=lambda k: probabilities[k])
        if probabilities[surest] >= threshold:
            total -= math.log(math.exp(other[surest]) / sum(math.exp(y) for y in other))
    return total / len(weak)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.8, 0.99])
def test_the_loss_is_that_of_the_paper(threshold):
    weak, strong = np.random.default_rng(0).normal(0, 2, (2, 50, 4))
    found = fixmatch_loss(torch.from_numpy(weak), torch.from_numpy(strong), threshold)
    assert found.item() == pytest.approx(reference(weak.tolist(), strong.tolist(), threshold))


def test_sure_rows_alone_learn_and_what_is_taken_for_true_does_not():
    weak = torch.tensor([[9.0, 0.0, 0.0], [0.4, 0.3, 0.2]], requires_grad=True)
    strong = torch.zeros((2, 3), requires_grad=True)
    fixmatch_loss(weak, strong, 0.95).backward()
    assert weak.grad is None
    assert strong.grad is not None
    torch.testing.assert_close(strong.grad[0], torch.tensor([1 / 3 - 1, 1 / 3, 1 / 3]) / 2)
    assert not strong.grad[1].any()


def test_nobody_sure_is_a_loss_of_nothing():
    logits = torch.zeros((5, 3), requires_grad=True)
    loss = fixmatch_loss(logits, logits, 0.95)
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()


@given(st.integers(1, 4), st.integers(2, 9), st.integers(1, 5), st.integers(1, 9))
def test_rows_beside_the_parts_of_a_batch_are_those_of_the_batch(parts, num_rows, ratio, epoch):
    batch = Batch(7, np.arange(num_rows))
    (whole,) = parts_of(batch, epoch, 1)
    beside = rows_beside(whole, UNLABELLED, ratio, 3)
    divided = [rows_beside(part, UNLABELLED, ratio, 3) for part in parts_of(batch, epoch, parts)]
    for number, part in enumerate(beside):
        own = [one[number] for one in divided]
        assert np.concatenate([one.own_rows for one in own]).tolist() == part.own_rows.tolist()
        assert np.concatenate([one.places for one in own]).tolist() == part.places.tolist()
    assert len(beside.weak.own_rows) == ratio * num_rows
    assert set(beside.weak.own_rows) <= set(UNLABELLED)


def test_no_two_images_of_a_batch_stand_in_one_place():
    (part,) = parts_of(Batch(7, np.arange(6)), 2, 1)
    weak, strong = rows_beside(part, UNLABELLED, 3, 0)
    assert weak.own_rows.tolist() == strong.own_rows.tolist()
    places = np.concatenate([part.places, weak.places, strong.places])
    assert places.tolist() == list(range(6 + 18 + 18))


def test_other_rows_are_drawn_for_another_batch_epoch_and_seed():
    def drawn(epoch: int, number: int, seed: int) -> list[int]:
        part = Part(epoch, number, np.arange(8), 0, 8)
        return rows_beside(part, UNLABELLED, 4, seed).weak.own_rows.tolist()

    found = [drawn(1, 0, 0), drawn(2, 0, 0), drawn(1, 1, 0), drawn(1, 0, 1)]
    assert all(one != other for one in found for other in found if one is not other)
    assert drawn(1, 0, 0) == found[0]
    counts = np.bincount(np.concatenate([drawn(1, n, 0) for n in range(200)]) - 100)
    # 6,400 draws from 40 rows: 160 of each, with a deviation of 12.5.
    assert len(counts) == 40 and counts.min() > 100 and counts.max() < 220


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.BatchNorm1d(4))


def test_predicting_is_evaluation_without_gradients_and_leaves_modes_as_they_were():
    mixed = net().train()
    mixed[3].eval()
    x_NF = torch.randn(6, 3)
    with predicting(mixed):
        found = mixed(x_NF)
    assert not found.requires_grad
    assert [module.training for module in mixed] == [True, True, True, False]
    torch.testing.assert_close(found, mixed.eval()(x_NF))


def test_statistics_are_kept_while_batch_norm_divides_by_what_it_sees():
    kept, plain = net().train(), net().train()
    before = {name: value.clone() for name, value in kept.state_dict().items()}
    x_NF = torch.randn(6, 3)
    with keeping_statistics(kept):
        torch.manual_seed(1)
        found = kept(x_NF)
    torch.manual_seed(1)
    torch.testing.assert_close(found, plain(x_NF), rtol=0, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in kept.state_dict().items())
    kept(x_NF)
    assert not torch.equal(kept.state_dict()["1.running_mean"], before["1.running_mean"])
