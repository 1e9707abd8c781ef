"""A net runs over rows in the order asked for, unchanged by being run."""

import numpy as np
import pytest
import torch
from scipy.special import softmax as reference_softmax
from torch import nn

from tasks.core.errors import ParamsError
from tasks.core.inference import at_precision, chosen_device, run_net, softmax

CPU = torch.device("cpu")


class Means(nn.Module):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, images_NHWC):
        return self.dropout(images_NHWC.float().mean(dim=(1, 2)))


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (1300, 2, 2, 3), dtype=np.uint8)


def test_outputs_are_those_of_the_rows_in_order_with_repeats(images):
    rows = np.array([1299, 0, 0, 700, *range(1200)])
    outputs = run_net(Means(), images, rows, CPU, "float32")
    assert outputs.dtype == np.float32
    assert np.allclose(outputs, images[rows].mean(axis=(1, 2)), atol=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_left_as_it_was(images, training):
    net = Means().train(training)
    run_net(net, images, np.arange(3), CPU, "float32")
    assert net.training is training


def test_bf16_computes_products_in_bfloat16_and_float32_does_not():
    for precision, dtype in (("bf16", torch.bfloat16), ("float32", torch.float32)):
        with at_precision(precision, CPU):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is dtype


def test_bf16_outputs_are_float32(images):
    net = nn.Sequential(Means(), nn.Linear(3, 2))
    exact = run_net(net, images, np.arange(40), CPU, "float32")
    coarse = run_net(net, images, np.arange(40), CPU, "bf16")
    assert coarse.dtype == np.float32
    assert np.abs(coarse - exact).max() / np.abs(exact).max() < 0.05


def test_softmax_is_scipys_even_for_great_logits():
    logits = np.random.default_rng(0).normal(size=(50, 7)) * 1000
    assert np.allclose(softmax(logits), reference_softmax(logits, axis=1), atol=1e-12)
    assert np.allclose(softmax(logits).sum(axis=1), 1)


def test_the_processor_is_always_there():
    assert chosen_device("cpu").type == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_a_missing_device_is_told():
    with pytest.raises(ParamsError, match=r"run\.device is cuda"):
        chosen_device("cuda")
