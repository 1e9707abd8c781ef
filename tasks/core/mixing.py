"""Batches whose images, and labels with them, are mixed.

N images, H height, W width, C channels, K classes
"""

from typing import NamedTuple

import numpy as np
from pydantic import NonNegativeFloat

from tasks.core.params import Section


class Mixing(Section):
    """The share that an image keeps is drawn from Beta(alpha, alpha) once a batch; an alpha of 0
    is off, and where both are on, each batch draws one of them."""

    mixup_alpha: NonNegativeFloat
    cutmix_alpha: NonNegativeFloat

    @property
    def is_on(self) -> bool:
        return self.mixup_alpha > 0 or self.cutmix_alpha > 0


class Mixed(NamedTuple):
    """uint8 (N, H, W, C); shares of classes, float32 (N, K), each row of sum 1; weights (N,)."""

    images_NHWC: np.ndarray
    targets_NK: np.ndarray
    weights_N: np.ndarray


class Box(NamedTuple):
    """Pixels from (top, left) up to, not including, (bottom, right)."""

    top: int
    left: int
    bottom: int
    right: int


def mix_batch(
    mixing: Mixing,
    images_NHWC: np.ndarray,
    labels_N: np.ndarray,
    weights_N: np.ndarray,
    num_classes: int,
    seed: int,
    epoch: int,
    batch: int,
) -> Mixed:
    """Mixes every image with another of the batch; the draws come from (seed, epoch, batch) alone.

    Labels are integers in [0, K). Something must be on.
    """
    # A child of the sequence that augmentation draws from, so that the two are independent.
    rng = np.random.default_rng(np.random.SeedSequence([seed, epoch, batch], spawn_key=(0,)))
    partner_N = rng.permutation(len(images_NHWC))
    if mixing.cutmix_alpha == 0 or (mixing.mixup_alpha > 0 and rng.random() < 0.5):
        kept = rng.beta(mixing.mixup_alpha, mixing.mixup_alpha)
        mixed_NHWC = mixup(images_NHWC, partner_N, kept)
    else:
        share = rng.beta(mixing.cutmix_alpha, mixing.cutmix_alpha)
        box = draw_box(images_NHWC.shape[1], images_NHWC.shape[2], share, rng)
        mixed_NHWC = cutmix(images_NHWC, partner_N, box)
        area = (box.bottom - box.top) * (box.right - box.left)
        kept = 1 - area / (images_NHWC.shape[1] * images_NHWC.shape[2])
    return Mixed(mixed_NHWC, *mix_targets(labels_N, weights_N, partner_N, kept, num_classes))


def mixup(images_NHWC: np.ndarray, partner_N: np.ndarray, kept: float) -> np.ndarray:
    """Each image fades into its partner, of which it takes the share 1 - `kept`
    (Zhang et al., mixup: beyond empirical risk minimization, 2018)."""
    mixed_NHWC = kept * images_NHWC + (1 - kept) * images_NHWC[partner_N]
    return np.rint(mixed_NHWC).astype(np.uint8)


def cutmix(images_NHWC: np.ndarray, partner_N: np.ndarray, box: Box) -> np.ndarray:
    """Each image with the pixels of its partner inside the box (Yun et al., CutMix, 2019)."""
    mixed_NHWC = images_NHWC.copy()
    inside = (slice(None), slice(box.top, box.bottom), slice(box.left, box.right))
    mixed_NHWC[inside] = images_NHWC[partner_N][inside]
    return mixed_NHWC


def draw_box(height: int, width: int, kept: float, rng: np.random.Generator) -> Box:
    """A box of the share 1 - `kept` of the image around a point anywhere in it, cut off at the
    borders (Yun et al., 2019, equation 2)."""
    side = np.sqrt(1 - kept)
    down, across = int(height * side), int(width * side)
    y, x = int(rng.integers(height)), int(rng.integers(width))
    top, bottom = np.clip([y - down // 2, y - down // 2 + down], 0, height).tolist()
    left, right = np.clip([x - across // 2, x - across // 2 + across], 0, width).tolist()
    return Box(top, left, bottom, right)


def mix_targets(
    labels_N: np.ndarray,
    weights_N: np.ndarray,
    partner_N: np.ndarray,
    kept: float,
    num_classes: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Targets (N, K) and weights (N,) with which the weighted cross-entropy of the mixed images is
    that of both labels, each with its share and its own row's weight: a label of little trust has
    as little say in a mixture as alone."""
    classes_NK = np.eye(num_classes, dtype=np.float32)[labels_N]
    own_N, other_N = kept * weights_N, (1 - kept) * weights_N[partner_N]
    mass_NK = own_N[:, None] * classes_NK + other_N[:, None] * classes_NK[partner_N]
    mixed_N = own_N + other_N
    # Two rows that weigh nothing: any target will do.
    targets_NK = np.where(mixed_N[:, None] > 0, mass_NK, classes_NK)
    targets_NK = targets_NK / targets_NK.sum(axis=1, keepdims=True)
    return targets_NK.astype(np.float32), mixed_N.astype(np.float32)
