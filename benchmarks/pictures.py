"""Images with labels of which some are made wrong, and how nets are taught on them.

N images, H height, W width, C channels, D pixels, K classes
"""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks import encoders
from benchmarks.record import ROOT
from tasks import augment, pretrain
from tasks.artifacts.documents import load_yaml
from tasks.core.architecture import Convolutional
from tasks.core.encoder import Encoder
from tasks.core.policy import Transform

NUM_CLASSES = 10
DIGITS_SIZE = 16
# The recipe for which the project's anchors were measured.
CIFAR10_PRETRAIN: dict[str, Any] = {
    "architecture": {
        "family": "convolutional",
        "width": 48,
        "depth": 1,
        "num_stages": 3,
        "activation": "relu",
        "connectivity": "residual",
        "attention": "none",
        "normalisation": "batch",
        "dropout": 0.0,
    },
    "views": "ssl",
}
# A shift by up to four pixels is a crop of the image padded by four.
SHIFT = {"translate_px": {"x": [-4, 4], "y": [-4, 4]}, "p": 1.0}
CIFAR10_AUGMENT = [
    {"name": "Affine", "arguments": SHIFT},
    {"name": "HorizontalFlip", "arguments": {}},
]


class Pictures(NamedTuple):
    """Images, their true labels, and how nets are taught on them."""

    images_NHWC: np.ndarray
    labels_N: np.ndarray
    pretraining: pretrain.Params
    augmentation: list[Transform]
    precision: str

    @property
    def pixels_ND(self) -> np.ndarray:
        return self.images_NHWC.reshape(len(self.images_NHWC), -1) / np.float32(255)


@cache
def digits(precision: str) -> Pictures:
    bunch: Any = load_digits()
    levels = (bunch.images * 255 / 16).round().astype(np.uint8)
    size = (DIGITS_SIZE, DIGITS_SIZE)
    images = [np.asarray(Image.fromarray(one).resize(size)) for one in levels]
    params = load_yaml(ROOT / "params.yaml")
    return Pictures(
        images_NHWC=np.stack(images)[..., None],
        labels_N=bunch.target,
        pretraining=pretrain.Params.model_validate(params["pretrain"]),
        augmentation=augment.Params.model_validate(params["augment"]).transforms,
        precision=precision,
    )


@cache
def cifar10(folder: Path, num_images: int, epochs: int, precision: str) -> Pictures:
    images, labels = [], []
    for label, place in enumerate(sorted((folder / "train").iterdir())):
        for path in sorted(place.iterdir())[: num_images // NUM_CLASSES]:
            images.append(np.asarray(Image.open(path).convert("RGB")))
            labels.append(label)
    section = load_yaml(ROOT / "params.yaml")["pretrain"] | CIFAR10_PRETRAIN
    return Pictures(
        images_NHWC=np.stack(images),
        labels_N=np.array(labels),
        pretraining=pretrain.Params.model_validate(section | {"epochs": epochs}),
        augmentation=[Transform(**one) for one in CIFAR10_AUGMENT],
        precision=precision,
    )


def nearest_classes(images_NHWC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Of each class the other one whose mean image is nearest, (K,)."""
    flat_ND = images_NHWC.reshape(len(images_NHWC), -1).astype(float)
    means = np.stack([flat_ND[labels_N == label].mean(axis=0) for label in np.unique(labels_N)])
    distances = ((means[:, None] - means[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    return distances.argmin(axis=1)


def plant(images_NHWC: np.ndarray, labels_N: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Labels of which `fraction` are those of their class's nearest class, (N,)."""
    wrong = np.random.default_rng([seed, 1]).permutation(len(labels_N))
    wrong = wrong[: round(fraction * len(wrong))]
    planted_N = labels_N.copy()
    planted_N[wrong] = nearest_classes(images_NHWC, labels_N)[labels_N[wrong]]
    return planted_N


def new_encoder(pictures: Pictures, seed: int) -> Encoder:
    architecture = pictures.pretraining.architecture
    assert isinstance(architecture, Convolutional)
    return encoders.new_encoder(pictures.images_NHWC, architecture, seed)
