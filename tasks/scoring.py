"""What a classifier says of test rows, as they are and corrupted.

N labelled test rows, M of them corrupted, K classes
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tasks.artifacts.images import Images
from tasks.artifacts.models import load_classifier
from tasks.core.corruptions import CORRUPTIONS, corrupt
from tasks.core.encoder import count_flops
from tasks.core.errors import ArtifactError
from tasks.core.inference import Place
from tasks.core.thresholds import RobustnessChange
from tasks.judging import Model


class Scored(NamedTuple):
    """A model on the labelled test rows: their classes by its own numbers, what it says of them
    (N, K), for some of them the share of corruptions under which it is right (M,), and its size."""

    labels_N: np.ndarray
    probabilities_NK: np.ndarray
    robust_M: np.ndarray
    num_flops: int

    @property
    def is_right_N(self) -> np.ndarray:
        return self.probabilities_NK.argmax(axis=1) == self.labels_N


class HeldOut(NamedTuple):
    """Labelled test rows of all images."""

    pixels: Images
    rows: np.ndarray
    labels: pd.Series
    place: Place


def score(weights: Path, where: HeldOut, robustness: RobustnessChange, seed: int) -> Scored:
    """What a model says of the test rows, calibrated as it says itself.

    Raises ArtifactError if it has other classes or takes other pixels than the rows have.
    """
    net, description = load_classifier(weights)
    labels = where.labels.iloc[where.rows]
    unknown = sorted(set(labels) - set(description.classes))
    shape = (description.canonical.size, description.canonical.size, description.canonical.channels)
    if unknown or shape != where.pixels.image_shape:
        raise ArtifactError(
            f"{weights}: knows the classes {description.classes} and images of {shape}, the test "
            f"rows have images of {where.pixels.image_shape} and also the classes {unknown}. To "
            "start anew, put an empty file NONE in the champion's place and `dvc add` its folder"
        )
    codes_N = pd.Categorical(labels, categories=description.classes).codes.astype(np.int64)
    model = Model(net.to(where.place.device), description.temperature, where.place)
    some = np.sort(np.random.default_rng(seed).permutation(len(codes_N))[: robustness.num_rows])
    images_MHWC = where.pixels[where.rows[some]]
    right_MC = [
        model.ask(corrupt(images_MHWC, name, robustness.strength, seed)).argmax(1) == codes_N[some]
        for name in CORRUPTIONS
    ]
    return Scored(
        codes_N,
        model.probabilities(where.pixels, where.rows),
        np.mean(right_MC, axis=0),
        count_flops(net, where.pixels.image_shape),
    )
