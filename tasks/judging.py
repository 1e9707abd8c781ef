"""What a classifier says of test images once they are changed.

N rows, H height, W width, C channels, K classes
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import albumentations as A
import numpy as np

from tasks.core.behaviours import (
    Behaviour,
    Direction,
    Invariance,
    Minimum,
    Observed,
    judge_direction,
    judge_invariance,
    judge_minimum,
)
from tasks.core.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from tasks.core.encoder import Classifier
from tasks.core.errors import ParamsError
from tasks.core.inference import ImageRows, Place, run_net, softmax
from tasks.core.policy import augment_batch, build_policy
from tasks.core.slices import ALL, Slices

_AT_ONCE = 512


class Model(NamedTuple):
    """A net, and at which temperature its logits are calibrated."""

    net: Classifier
    temperature: float
    place: Place

    def probabilities(self, images: ImageRows, rows: np.ndarray) -> np.ndarray:
        """Float64 (N, K)."""
        logits_NK = run_net(self.net, images, rows, *self.place).astype(np.float64)
        return softmax(logits_NK / self.temperature)

    def ask(self, images_NHWC: np.ndarray) -> np.ndarray:
        return self.probabilities(images_NHWC, np.arange(len(images_NHWC)))


def measure_robustness(
    model: Model, images_NHWC: np.ndarray, labels_N: np.ndarray, seed: int
) -> dict[str, Any]:
    """Accuracy on the images as they are, under each corruption at each strength, and the mean of
    these."""

    def accuracy(changed_NHWC: np.ndarray) -> float:
        return float((model.ask(changed_NHWC).argmax(axis=1) == labels_N).mean())

    corruptions = {
        name: [accuracy(corrupt(images_NHWC, name, strength, seed)) for strength in STRENGTHS]
        for name in CORRUPTIONS
    }
    return {
        "num_rows": len(images_NHWC),
        "clean": accuracy(images_NHWC),
        "corruptions": corruptions,
        "mean": float(np.mean(list(corruptions.values()))),
    }


def average_views(
    model: Model, images: ImageRows, rows: np.ndarray, policy: A.Compose, num_views: int, seed: int
) -> np.ndarray:
    """Probabilities (N, K): the mean over each image as it is and `num_views` draws of the policy
    (test-time augmentation)."""
    parts = []
    for batch, start in enumerate(range(0, len(rows), _AT_ONCE)):
        images_NHWC = images[rows[start : start + _AT_ONCE]]
        views = [augment_batch(policy, images_NHWC, seed, view, batch) for view in range(num_views)]
        parts.append(np.mean([model.ask(one) for one in (images_NHWC, *views)], axis=0))
    return np.concatenate(parts)


class Ground(NamedTuple):
    """What behaviours are judged on: some images, and of all test rows the slices and whether the
    model was right."""

    images_NHWC: np.ndarray
    labels_N: np.ndarray
    classes: list[str]
    slices: Slices
    is_right_N: np.ndarray


def check_behaviours(behaviours: Sequence[Behaviour], ground: Ground) -> None:
    """Raises ParamsError for a behaviour of a slice or a class that has no rows, or a transform
    that does not suit the images."""
    given = sorted({ground.classes[label] for label in ground.labels_N})
    slices = [ALL, *ground.slices]
    for number, one in enumerate(behaviours):
        where = f"params.yaml: evaluate.behaviours.{number}"
        if isinstance(one, Minimum) and one.slice not in slices:
            raise ParamsError(
                f"{where}: {one.slice!r} is no slice of evaluate.slices.least_rows test rows or "
                f"more; expected one of {slices}"
            )
        if not isinstance(one, Minimum):
            build_policy([one.transform], ground.images_NHWC.shape[1:])
        if isinstance(one, Direction) and one.label is not None and one.label not in given:
            raise ParamsError(
                f"{where}: none of the test rows that are looked at has the label {one.label!r}; "
                f"expected null or one of {given}"
            )


def judge_behaviours(
    model: Model, behaviours: Sequence[Behaviour], ground: Ground, seed: int
) -> list[Observed]:
    return [_judge(model, one, ground, seed) for one in behaviours]


def _judge(model: Model, asked: Behaviour, ground: Ground, seed: int) -> Observed:
    if isinstance(asked, Minimum):
        inside_N = ground.slices.get(asked.slice, np.ones_like(ground.is_right_N))
        return judge_minimum(asked, ground.is_right_N[inside_N])
    images_NHWC, labels_N = ground.images_NHWC, ground.labels_N
    if isinstance(asked, Direction) and asked.label is not None:
        chosen_N = labels_N == ground.classes.index(asked.label)
        images_NHWC, labels_N = images_NHWC[chosen_N], labels_N[chosen_N]
    policy = build_policy([asked.transform], images_NHWC.shape[1:])
    before_NK = model.ask(images_NHWC)
    after_NK = model.ask(augment_batch(policy, images_NHWC, seed, 0, 0))
    if isinstance(asked, Invariance):
        return judge_invariance(asked, before_NK, after_NK)
    return judge_direction(asked, before_NK, after_NK, labels_N, seed)
