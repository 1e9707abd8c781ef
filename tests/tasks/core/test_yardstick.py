"""The yardstick measures, and changes nothing but what batch norm has seen."""

import copy

import numpy as np
import pytest
import torch

from tasks.core.adoption import Embedded
from tasks.core.embeddings import effective_rank, feature_spread, knn_accuracy
from tasks.core.encoder import Encoder
from tasks.core.inference import Place
from tasks.core.yardstick import choose_yardstick, embed, measure, settle
from tests.nets import tiny

PLACE = Place(torch.device("cpu"), "float32")


def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(tiny(), [0.5], [0.25], 8)


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 8, 8, 1), dtype=np.uint8)


def test_rows_without_a_label_measure_nothing_and_there_are_5000_at_most():
    labels = np.arange(9000) % 4 - 1
    train, val = np.arange(8000), np.arange(8000, 9000)
    chosen = choose_yardstick(labels, train, val, 0)
    assert len(chosen.train) == 5000 and len(set(chosen.train)) == 5000
    assert set(chosen.train) <= set(train)
    assert set(chosen.val) == set(val[labels[val] >= 0])
    assert (chosen.train_labels == labels[chosen.train]).all() and chosen.val_labels.min() == 0
    again = choose_yardstick(labels, train, val, 0)
    assert all((one == other).all() for one, other in zip(chosen, again, strict=True))


def test_what_is_measured_is_measured_of_val():
    rng = np.random.default_rng(0)
    embedded = Embedded(rng.normal(size=(50, 6)), rng.normal(size=(30, 6)))
    labels = rng.integers(3, size=80)
    yardstick = choose_yardstick(labels, np.arange(50), np.arange(50, 80), 0)
    projector = torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.BatchNorm1d(3)).double()
    before = copy.deepcopy(projector.state_dict())
    found = measure(embedded, yardstick, projector, PLACE.device)
    accuracy = knn_accuracy(
        embedded.train_ND, yardstick.train_labels, embedded.val_MD, yardstick.val_labels
    )
    assert found["knn_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert found["feature_spread"] == pytest.approx(feature_spread(embedded.val_MD), abs=1e-6)
    assert all(torch.equal(value, before[key]) for key, value in projector.state_dict().items())
    assert projector.training
    projected = projector.eval()(torch.from_numpy(embedded.val_MD)).detach().numpy()
    assert found["projection_spread"] == pytest.approx(feature_spread(projected), abs=1e-6)
    assert found["effective_rank"] == pytest.approx(effective_rank(embedded.val_MD), abs=1e-6)


def test_settling_shows_batch_norm_the_images_and_moves_no_weight():
    net, pixels = encoder(), images()
    before = copy.deepcopy(net.state_dict())
    settle(net, pixels, np.arange(60), PLACE)
    weights = dict(net.named_parameters())
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key]) == (key in weights or key in ("mean", "std")), key
    # What comes out of the stem's norm is now nearly of mean 0 and variance 1.
    seen: list[torch.Tensor] = []
    norm = next(m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    norm.register_forward_hook(lambda *args: seen.append(args[2]))
    yardstick = choose_yardstick(np.zeros(90, dtype=int), np.arange(60), np.arange(60, 90), 0)
    embed(net, pixels, yardstick, PLACE)
    assert seen[0].mean(dim=(0, 2, 3)).abs().max() < 0.2
    assert seen[0].var(dim=(0, 2, 3)).sub(1).abs().max() < 0.3


def test_embeddings_are_those_of_the_rows():
    net, pixels = encoder().eval(), images()
    yardstick = choose_yardstick(np.zeros(90, dtype=int), np.arange(60), np.arange(60, 90), 3)
    found = embed(net, pixels, yardstick, PLACE)
    with torch.no_grad():
        expected = net(torch.from_numpy(pixels[yardstick.val])).numpy()
    assert found.val_MD == pytest.approx(expected, abs=1e-5)
    assert found.train_ND.shape == (60, 8)
