"""Whether attributions tell what the net does: by removing what they name, and by breaking the net.

N images, H height, W width, C channels, K classes, G cells of a grid, T steps, L levels
"""

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import nn

from tasks.core.inference import Place, run_net, softmax
from tasks.core.metrics import Interval
from tasks.core.yardstick import settle

_NUM_BOOTSTRAP = 1000


class Curves(NamedTuple):
    """The probability of the class as cells are taken away (`deletion`) and as they are put into a
    blurred image (`insertion`), the most important first: each (N, T + 1)."""

    deletion_NT: np.ndarray
    insertion_NT: np.ndarray


class Beside(NamedTuple):
    """An area under curves beside that of random attributions: means over images, the mean of the
    differences with its 95 % interval, and whether it surely lies on the good side."""

    area: float
    random_area: float
    difference: float
    low: float
    high: float
    passed: bool


class Subject(NamedTuple):
    """A net, the images on which its attributions are tried, and the classes that they explain.

    `nothing_C` is the colour (0…255) of what is taken away. Attributions are compared by cells of a
    grid of `cells_across`², so that fine and coarse ones take away the same shapes.
    """

    net: nn.Module
    images_NHWC: np.ndarray
    classes_N: np.ndarray
    nothing_C: np.ndarray
    temperature: float
    cells_across: int
    device: torch.device

    def first(self, count: int) -> "Subject":
        few = {name: getattr(self, name)[:count] for name in ("images_NHWC", "classes_N")}
        return self._replace(**few)


def trace_curves(subject: Subject, ranks_NG: np.ndarray, num_steps: int) -> Curves:
    """Petsiuk et al., RISE, 2018. `ranks_NG`: 0 for the cell that goes first."""
    images_NHWC = subject.images_NHWC
    nothing_C = subject.nothing_C.round().astype(np.uint8)
    bare_NHWC = np.broadcast_to(nothing_C, images_NHWC.shape)
    blurred_NHWC = np.stack([_blurred(image, subject.cells_across) for image in images_NHWC])
    return Curves(
        _trace(subject, images_NHWC, bare_NHWC, ranks_NG, num_steps),
        _trace(subject, blurred_NHWC, images_NHWC, ranks_NG, num_steps),
    )


def _blurred(image_HWC: np.ndarray, cells_across: int) -> np.ndarray:
    """What is finer than a cell is gone."""
    width = max(image_HWC.shape[:2]) / cells_across
    return cv2.GaussianBlur(image_HWC, (0, 0), width).reshape(image_HWC.shape)


def _trace(
    subject: Subject, before: np.ndarray, after: np.ndarray, ranks_NG: np.ndarray, num_steps: int
) -> np.ndarray:
    """The probability of the class as cells of `after` take the place of those of `before`."""
    cells_HW = grid_cells(before.shape[1:3], subject.cells_across)
    rows, curves = np.arange(len(before)), []
    for step in range(num_steps + 1):
        changed_NG = ranks_NG < step / num_steps * ranks_NG.shape[1]
        mixed_NHWC = np.where(changed_NG[:, cells_HW][..., None], after, before)
        logits_NK = run_net(subject.net, mixed_NHWC, rows, subject.device, "float32")
        probabilities_NK = softmax(logits_NK.astype(np.float64) / subject.temperature)
        curves.append(probabilities_NK[rows, subject.classes_N])
    return np.stack(curves, axis=1)


def grid_cells(shape: tuple[int, ...], num_across: int) -> np.ndarray:
    """The number of each pixel's cell: int (H, W), cells numbered row by row without gaps."""
    rows, columns = (min(num_across, side) for side in shape)
    down_HW, across_HW = np.indices(shape)
    return down_HW * rows // shape[0] * columns + across_HW * columns // shape[1]


def rank_cells(
    attributions_NHW: np.ndarray, num_across: int, rng: np.random.Generator
) -> np.ndarray:
    """The place of each cell, 0 for the one with the highest mean: (N, G). Equals go by lot."""
    cells_P = grid_cells(attributions_NHW.shape[1:], num_across).ravel()
    of_cells_PG = np.eye(cells_P.max() + 1)[cells_P]
    sums_NG = attributions_NHW.reshape(len(attributions_NHW), -1).astype(np.float64) @ of_cells_PG
    means_NG = sums_NG / of_cells_PG.sum(axis=0)
    order_NG = np.lexsort((rng.random(means_NG.shape), -means_NG), axis=1)
    return order_NG.argsort(axis=1)


def random_ranks(num_images: int, num_cells: int, rng: np.random.Generator) -> np.ndarray:
    return rng.random((num_images, num_cells)).argsort(axis=1)


def area_under(curves_NT: np.ndarray) -> np.ndarray:
    """Between 0 and 1, per image (N)."""
    return np.trapezoid(curves_NT, dx=1 / (curves_NT.shape[1] - 1), axis=1)


def compare_areas(areas_N: np.ndarray, random_N: np.ndarray, more: bool, seed: int) -> Beside:
    """`more`: whether a large area is good, as of insertion, or a small one."""
    difference = mean_interval(areas_N - random_N, seed)
    passed = difference.low > 0 if more else difference.high < 0
    return Beside(float(areas_N.mean()), float(random_N.mean()), *difference, passed)


def mean_interval(values_N: np.ndarray, seed: int) -> Interval:
    """The mean and its 95 % percentile bootstrap interval."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(values_N), size=(_NUM_BOOTSTRAP, len(values_N)))
    low, high = np.quantile(values_N[drawn].mean(axis=1), [0.025, 0.975])
    return Interval(float(values_N.mean()), float(low), float(high))


@torch.no_grad()
def randomise(subject: Subject, num_levels: int, seed: int) -> Iterator[nn.Module]:
    """Copies of the net of which more and more is broken, from the head down to all of it (the
    cascade of Adebayo et al., Sanity checks for saliency maps, 2018).

    The weights of each tensor change places, so that their scale stays, and batch norm sees the
    images anew: a net that is dead would prove nothing.
    """
    net, place = copy.deepcopy(subject.net), Place(subject.device, "float32")
    layers = [module for module in net.modules() if list(module.parameters(recurse=False))][::-1]
    generator = torch.Generator().manual_seed(seed)
    ends = np.linspace(0, len(layers), num_levels + 1).round().astype(int)
    for start, end in pairwise(ends):
        for layer in layers[start:end]:
            for weights in layer.parameters(recurse=False):
                order = torch.randperm(weights.numel(), generator=generator).to(weights.device)
                weights.copy_(weights.flatten()[order].view_as(weights))
        with torch.random.fork_rng([subject.device] if subject.device.type == "cuda" else []):
            torch.manual_seed(seed)
            settle(net, subject.images_NHWC, np.arange(len(subject.images_NHWC)), place)
        yield net
