"""Changes that happen to images in production, each at three strengths.

N images, H height, W width, C channels
"""

import io
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


class Drawn(NamedTuple):
    images_NHWC: np.ndarray
    labels_N: np.ndarray


Shift = Callable[[Drawn, float, np.random.Generator], Drawn]


def noise(drawn: Drawn, sd: float, rng: np.random.Generator) -> Drawn:
    """Gaussian, of `sd` grey levels."""
    return _changed(drawn, drawn.images_NHWC + rng.normal(0, sd, drawn.images_NHWC.shape))


def blur(drawn: Drawn, sigma: float, rng: np.random.Generator) -> Drawn:
    return drawn._replace(
        images_NHWC=np.stack([cv2.GaussianBlur(one, (0, 0), sigma) for one in drawn.images_NHWC])
    )


def darken(drawn: Drawn, share: float, rng: np.random.Generator) -> Drawn:
    """By a share of the light."""
    return _changed(drawn, drawn.images_NHWC * (1 - share))


def flatten(drawn: Drawn, share: float, rng: np.random.Generator) -> Drawn:
    """Contrast lost."""
    mean = drawn.images_NHWC.mean(axis=(1, 2, 3), keepdims=True)
    return _changed(drawn, mean + (drawn.images_NHWC - mean) * (1 - share))


def compress(drawn: Drawn, quality: float, rng: np.random.Generator) -> Drawn:
    """As JPEG once more."""
    images = []
    for one in drawn.images_NHWC:
        file = io.BytesIO()
        Image.fromarray(one).save(file, "JPEG", quality=int(quality))
        images.append(np.asarray(Image.open(file)))
    return drawn._replace(images_NHWC=np.stack(images))


def garbage(drawn: Drawn, share: float, rng: np.random.Generator) -> Drawn:
    """Noise, one colour, or pixels out of order, in equal parts."""
    images, labels = drawn.images_NHWC.copy(), drawn.labels_N.copy()
    for number, row in enumerate(_some(drawn, share, rng)):
        shape = images[row].shape
        if number % 3 == 0:
            images[row] = rng.integers(0, 256, shape)
        elif number % 3 == 1:
            images[row] = rng.integers(0, 256, 3)
        else:
            images[row] = rng.permutation(images[row].reshape(-1, 3)).reshape(shape)
        labels[row] = -1
    return Drawn(images, labels)


def rotate(drawn: Drawn, share: float, rng: np.random.Generator) -> Drawn:
    """By a quarter to the left or to the right."""
    images = drawn.images_NHWC.copy()
    for row in _some(drawn, share, rng):
        images[row] = np.rot90(images[row], rng.choice([1, 3]))
    return drawn._replace(images_NHWC=images)


def new_class(drawn: Drawn, share: float, rng: np.random.Generator) -> Drawn:
    """Handwritten digits on paper of some colour: what no class of the model is."""
    bunch: Any = load_digits()
    images, labels = drawn.images_NHWC.copy(), drawn.labels_N.copy()
    for row in _some(drawn, share, rng):
        ink = cv2.resize(bunch.images[rng.integers(len(bunch.images))] / 16, images.shape[1:3])
        paper = rng.integers(150, 256, 3)
        images[row] = (np.clip(1 - ink, 0, 1)[..., None] * paper).astype(np.uint8)
        labels[row] = -1
    return Drawn(images, labels)


def _some(drawn: Drawn, share: float, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(len(drawn.labels_N))[: round(share * len(drawn.labels_N))]


def _changed(drawn: Drawn, levels_NHWC: np.ndarray) -> Drawn:
    images = np.clip(np.rint(levels_NHWC), 0, 255).astype(np.uint8)
    return drawn._replace(images_NHWC=images)


class Asked(NamedTuple):
    """A shift and its three strengths. `weight_of`, of a prior alone: how often a row of a class is
    drawn, beside 1."""

    shift: Shift | None
    strengths: tuple[float, float, float]
    weight_of: Callable[[float, np.ndarray], np.ndarray] | None = None


def thinned(num_classes: int, factor: float, labels_N: np.ndarray) -> np.ndarray:
    return np.where(labels_N < num_classes, factor, 1.0)


SHIFTS = {
    "noise": Asked(noise, (5, 15, 30)),
    "blur": Asked(blur, (0.5, 0.8, 1.2)),
    "brightness": Asked(darken, (0.15, 0.3, 0.5)),
    "contrast": Asked(flatten, (0.2, 0.4, 0.6)),
    "JPEG": Asked(compress, (50, 25, 10)),
    "garbage": Asked(garbage, (0.05, 0.1, 0.2)),
    "rotated": Asked(rotate, (0.1, 0.2, 0.4)),
    "one class thinned": Asked(None, (0.6, 0.3, 0.1), partial(thinned, 1)),
    "five classes thinned": Asked(None, (0.6, 0.3, 0.1), partial(thinned, 5)),
    "new class": Asked(new_class, (0.025, 0.05, 0.1)),
}
