"""A map that knows the net beats random ones, one that does not is not called better, and a broken
net has lost what it learnt."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tasks.core.attribution_checks import (
    Subject,
    area_under,
    compare_areas,
    grid_cells,
    mean_interval,
    random_ranks,
    randomise,
    rank_cells,
    trace_curves,
)
from tasks.core.encoder import Classifier, Encoder
from tests.nets import FAMILIES

CPU = torch.device("cpu")


class Corner(nn.Module):
    """Class 1 the surer, the brighter the first quarter of the image."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(12.0))

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        bright_N = images_NHWC[:, :4, :4].float().mean(dim=(1, 2, 3)) / 255
        return torch.stack([torch.zeros_like(bright_N), self.weight * (bright_N - 0.5)], dim=1)


def subject(net: nn.Module, images: np.ndarray, cells_across: int = 4) -> Subject:
    nothing, classes = np.zeros(images.shape[3]), np.ones(len(images), dtype=np.int64)
    return Subject(net, images, classes, nothing, 1.0, cells_across, CPU)


@pytest.fixture
def bright():
    return np.random.default_rng(0).integers(150, 256, (30, 8, 8, 1), dtype=np.uint8)


def test_curves_begin_with_the_image_and_end_with_nothing(bright):
    one = subject(Corner(), bright)
    ranks = random_ranks(30, 16, np.random.default_rng(0))
    curves = trace_curves(one, ranks, 8)

    def probability(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return Corner()(torch.from_numpy(images)).softmax(dim=1)[:, 1].numpy()

    assert curves.deletion_NT.shape == curves.insertion_NT.shape == (30, 9)
    np.testing.assert_allclose(curves.deletion_NT[:, 0], probability(bright), rtol=1e-5)
    np.testing.assert_allclose(curves.deletion_NT[:, -1], probability(0 * bright), rtol=1e-5)
    np.testing.assert_allclose(curves.insertion_NT[:, -1], probability(bright), rtol=1e-5)
    half = bright.copy()
    half[np.kron(ranks < 8, np.ones((1, 1), bool)).reshape(30, 4, 4).repeat(2, 1).repeat(2, 2)] = 0
    np.testing.assert_allclose(curves.deletion_NT[:, 4], probability(half), rtol=1e-5)


def test_a_temperature_flattens_the_curves(bright):
    ranks = random_ranks(30, 16, np.random.default_rng(0))
    one = subject(Corner(), bright)
    hot = trace_curves(one._replace(temperature=100.0), ranks, 4)
    assert np.ptp(hot.deletion_NT) < 0.1 < np.ptp(trace_curves(one, ranks, 4).deletion_NT)


def test_a_map_that_knows_the_net_beats_random_and_a_random_one_does_not(bright):
    # Dark elsewhere, so that blurring dims the corner as well.
    bright[:, 4:], bright[:, :, 4:] = 0, 0
    one, rng = subject(Corner(), bright), np.random.default_rng(0)
    truth = np.zeros((30, 8, 8))
    truth[:, :4, :4] = 1
    random = trace_curves(one, random_ranks(30, 16, rng), 16)
    for ranks, expected in (
        (rank_cells(truth, 4, rng), True),
        (random_ranks(30, 16, rng), False),
        (rank_cells(-truth, 4, rng), False),
    ):
        curves = trace_curves(one, ranks, 16)
        areas = [area_under(one.deletion_NT) for one in (curves, random)]
        beside = compare_areas(areas[0], areas[1], more=False, seed=0)
        assert beside.passed is expected
        assert beside.difference == pytest.approx(beside.area - beside.random_area)
        areas = [area_under(one.insertion_NT) for one in (curves, random)]
        assert compare_areas(areas[0], areas[1], more=True, seed=0).passed is expected


def test_the_area_of_a_line_is_a_triangle():
    np.testing.assert_allclose(area_under(np.array([[0, 0.5, 1.0], [1, 1, 1]])), [0.5, 1])


def test_cells_are_ranked_by_their_mean_and_equals_by_lot():
    maps = np.random.default_rng(0).normal(size=(3, 5, 7))
    cells = grid_cells((5, 7), 3)
    assert np.unique(cells).tolist() == list(range(9))
    ranks = rank_cells(maps, 3, np.random.default_rng(0))
    for one, rank in zip(maps, ranks, strict=True):
        means = [one[cells == cell].mean() for cell in range(9)]
        assert rank.tolist() == (-np.array(means)).argsort().argsort().tolist()
    equal = rank_cells(np.zeros((400, 4, 4)), 2, np.random.default_rng(0))
    assert np.sort(equal, axis=1).tolist() == [[0, 1, 2, 3]] * 400
    # Each cell comes first about as often as any other: four standard deviations are 35.
    assert np.abs(np.bincount(equal.argmin(axis=1)) - 100).max() < 35


def test_a_grid_of_more_cells_than_pixels_has_a_cell_per_pixel():
    assert (grid_cells((2, 3), 8) == [[0, 1, 2], [3, 4, 5]]).all()


def test_an_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        interval = mean_interval(rng.exponential(size=60), seed)
        covered += interval.low <= 1 <= interval.high
    assert 175 <= covered <= 199


@pytest.mark.parametrize("family", ["residual", "vit"])
def test_a_net_is_broken_from_its_head_down(family):
    torch.manual_seed(0)
    encoder = Encoder(FAMILIES[family], [0.5], [0.2], 8)
    net = Classifier(encoder, 3, 0.0).eval()
    before = copy.deepcopy(net.state_dict())
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    one = subject(net, images)

    def changed(broken: nn.Module) -> set[str]:
        named = broken.named_parameters()
        return {name for name, weight in named if not torch.equal(weight, before[name])}

    levels = [changed(broken) for broken in randomise(one, 3, 0)]
    assert "head.weight" in levels[0] and not any(".stem." in name for name in levels[0])
    assert levels[0] < levels[1] < levels[2]
    # Weights that are all the same, as those of a fresh norm, can change places unseen.
    differing = {name for name, weight in net.named_parameters() if len(weight.unique()) > 1}
    assert levels[2] == differing
    assert all(torch.equal(weight, before[name]) for name, weight in net.state_dict().items())


def test_a_broken_net_lives_and_is_the_same_for_the_same_seed():
    torch.manual_seed(0)
    net = Classifier(Encoder(FAMILIES["residual"], [0.5], [0.2], 8), 3, 0.0).eval()
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)
    one, state = subject(net, images), torch.random.get_rng_state()

    def logits(seed: int) -> np.ndarray:
        (broken,) = randomise(one, 1, seed)
        with torch.no_grad():
            return broken(torch.from_numpy(images)).numpy()

    first, again, other = logits(0), logits(0), logits(1)
    assert (first == again).all() and (first != other).any()
    assert np.isfinite(first).all() and first.std(axis=0).min() > 0
    assert (torch.random.get_rng_state() == state).all()
