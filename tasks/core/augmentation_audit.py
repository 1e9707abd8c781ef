"""Which transforms make another class of an image, judged by its neighbours in embedding space.

N images, K classes
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from tasks.core.policy import Transform

_CONFIDENCE = 0.95
_LARGE_SHIFT = 0.06


class Change(NamedTuple):
    """How often a transform changes the label that an image's neighbours bear.

    `identity`: the share of images whose neighbours bear another label anyway; `difference`:
    `changed` - `identity`, with the interval [`low`, `high`]. `looks_like`: the class that most
    changed images moved to, None where none did.
    """

    label: int | None
    num_images: int
    changed: float
    identity: float
    difference: float
    low: float
    high: float
    looks_like: int | None


def choose_rows(labels_N: np.ndarray, num_rows: int, seed: int) -> np.ndarray:
    """Indices of at most `num_rows` rows, in order, as many of each class as there are and fit."""
    order_N = np.random.default_rng(seed).permutation(len(labels_N))
    turn_N = pd.Series(labels_N[order_N]).groupby(labels_N[order_N]).cumcount().to_numpy()
    return np.sort(order_N[np.argsort(turn_N, kind="stable")[:num_rows]])


def find_changes(
    labels_N: np.ndarray,
    voted_N: np.ndarray,
    voted_before_N: np.ndarray,
    num_classes: int,
    confidence: float,
) -> list[Change]:
    """What one transform does to all images (label None) and to those of each class that has some.

    `voted_N` are the classes that the neighbours of transformed images bear, `voted_before_N` those
    of the same images untransformed.
    """
    groups: list[tuple[int | None, np.ndarray]] = [(None, np.ones(len(labels_N), dtype=bool))]
    groups += [(label, labels_N == label) for label in range(num_classes)]
    return [
        _change(label, labels_N[group], voted_N[group], voted_before_N[group], confidence)
        for label, group in groups
        if group.any()
    ]


def _change(
    label: int | None,
    labels_N: np.ndarray,
    voted_N: np.ndarray,
    voted_before_N: np.ndarray,
    confidence: float,
) -> Change:
    changed_N, identity_N = voted_N != labels_N, voted_before_N != labels_N
    gained, lost = int((changed_N & ~identity_N).sum()), int((identity_N & ~changed_N).sum())
    low, high = paired_interval(gained, lost, len(labels_N), confidence)
    moved = np.bincount(voted_N[changed_N & ~identity_N])
    return Change(
        label,
        len(labels_N),
        float(changed_N.mean()),
        float(identity_N.mean()),
        (gained - lost) / len(labels_N),
        low,
        high,
        int(moved.argmax()) if len(moved) else None,
    )


def paired_interval(
    gained: int, lost: int, num_pairs: int, confidence: float
) -> tuple[float, float]:
    """The interval of the difference of two shares of the same `num_pairs` images, of which
    `gained` bear the mark in the first case alone and `lost` in the second alone.

    Wald's after z² / 8 (½ at 95 %) is added to each of the four counts, which keeps its promise for
    few pairs too (Agresti and Min, Simple improved confidence intervals for comparing matched
    proportions, 2005).
    """
    z = float(norm.isf((1 - confidence) / 2))
    more, less, total = gained + z**2 / 8, lost + z**2 / 8, num_pairs + z**2 / 2
    difference = (more - less) / total
    deviation = np.sqrt(more + less - (more - less) ** 2 / total) / total
    return max(-1.0, difference - z * deviation), min(1.0, difference + z * deviation)


def family_confidence(num_comparisons: int) -> float:
    """The confidence of each of so many intervals by which all of them hold together with 95 %
    (Bonferroni's inequality)."""
    return 1 - (1 - _CONFIDENCE) / max(1, num_comparisons)


def usual_suspects(image_shape: tuple[int, int, int]) -> dict[str, Transform]:
    """Transforms that people reach for, by a name for people; what does nothing to images of this
    shape is left out."""
    height, _, channels = image_shape
    # Whole pixels, as albumentations cuts a share of the side down to them.
    shift = max(1, round(_LARGE_SHIFT * height))
    chosen = {
        "horizontal flip": Transform(name="HorizontalFlip", arguments={}),
        "vertical flip": Transform(name="VerticalFlip", arguments={}),
        "turned by 90°": Transform(name="Affine", arguments={"rotate": [90, 90]}),
        "turned by 180°": Transform(name="Affine", arguments={"rotate": [180, 180]}),
        f"shift by {shift} px": Transform(
            name="Affine", arguments={"translate_px": [-shift, shift]}
        ),
        "crop to a quarter": Transform(name="RandomResizedCrop", arguments={"scale": [0.25, 0.25]}),
    }
    if channels == 3:
        chosen["grey"] = Transform(name="ToGray", arguments={})
    return chosen
