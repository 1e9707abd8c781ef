"""Images that are odd: each kind of issue has a score in [0, 1], low where it is worst.

N images
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from tasks.core.params import Section

Threshold = Annotated[float, Field(ge=0, le=1)]
# Laplacian variance at which an image is half sharp: what handheld photographs have at 512 pixels.
_HALF_SHARP = 0.001
_HIGH_CONTRAST = 0.25
_BITS = 8
# Images that are all but alike have quartiles so close that any other is far out of them.
_LEAST_DROP = 0.2
_COLUMNS = ["image_id", "issue", "score", "against"]


class Thresholds(Section):
    """An image whose score is below has the issue, whatever the other images are like."""

    dark: Threshold
    light: Threshold
    low_contrast: Threshold
    low_information: Threshold
    near_uniform: Threshold
    blurred: Threshold
    odd_aspect: Threshold
    odd_size: Threshold
    odd_colour: Threshold
    over_compressed: Threshold


def score_images(measures: pd.DataFrame) -> pd.DataFrame:
    """A score per image and kind of issue: (N, one column per field of `Thresholds`).

    dark, light: how bright the bright parts are, how dark the dark ones. low_information: entropy,
    of 8 bits. near_uniform: the share of pixels that differ from the rest. odd_aspect: the shorter
    side by the longer. odd_size: the side's ratio to the median side. odd_colour: the share of
    images that are, like this one, grey or not. over_compressed: bytes per pixel, by the median.

    measures: what `tasks.core.measures.measure` returns, as a table.
    """
    return pd.DataFrame({name: score(measures) for name, score in _SCORES.items()}).round(6)


def find_issues(measures: pd.DataFrame, thresholds: Thresholds, fence: float) -> pd.DataFrame:
    """image_id, issue, score, against: a row per image and issue it has, the worst first.

    `against` is `threshold`, or `data` where the image is far out among these images alone: its
    log score lies `fence` interquartile ranges below the lower quartile (Tukey, 1977, calls 3 far
    out), and its score a fifth below the median.
    """
    if measures.empty:
        return pd.DataFrame(columns=_COLUMNS)
    scores = score_images(measures)
    absolute = scores.lt(pd.Series(thresholds.model_dump()))[scores.columns]
    relative = scores.apply(_far_below, fence=fence) & ~absolute
    found = [
        pd.DataFrame(
            {
                "image_id": measures["image_id"].to_numpy()[flagged],
                "issue": issue,
                "score": scores[issue].to_numpy()[flagged],
                "against": against,
            }
        )
        for issue in scores.columns
        for against, flags in (("threshold", absolute), ("data", relative))
        if (flagged := flags[issue].to_numpy(dtype=bool)).any()
    ]
    if not found:
        return pd.DataFrame(columns=_COLUMNS)
    issues = pd.concat(found, ignore_index=True)
    return issues.sort_values(["issue", "score", "image_id"], ignore_index=True)


def _far_below(scores: pd.Series, fence: float) -> np.ndarray:
    # By ratios: half as sharp is as odd at any sharpness.
    logs = np.log(np.maximum(scores.to_numpy(float), 1e-6))
    low, middle, high = np.quantile(logs, [0.25, 0.5, 0.75])
    return logs < np.minimum(low - fence * (high - low), middle + np.log(1 - _LEAST_DROP))


def _ratio_to_median(sides: pd.Series) -> pd.Series:
    """How far from the median by ratio, in [0, 1]; 1 is the median itself."""
    ratio = sides / sides.median()
    return ratio.where(ratio <= 1, 1 / ratio)


def _colour_shares(measures: pd.DataFrame) -> pd.Series:
    is_grey = measures["colourfulness"] == 0
    return is_grey.map(is_grey.value_counts(normalize=True)).astype(float)


_SCORES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "dark": lambda m: m["light_point"],
    "light": lambda m: 1 - m["dark_point"],
    "low_contrast": lambda m: (m["contrast"] / _HIGH_CONTRAST).clip(upper=1),
    "low_information": lambda m: m["entropy"] / _BITS,
    "near_uniform": lambda m: 1 - m["uniformity"],
    "blurred": lambda m: m["sharpness"] / (m["sharpness"] + _HALF_SHARP),
    "odd_aspect": lambda m: m[["width", "height"]].min(axis=1) / m[["width", "height"]].max(axis=1),
    "odd_size": lambda m: _ratio_to_median((m["width"] * m["height"]) ** 0.5),
    "odd_colour": _colour_shares,
    "over_compressed": lambda m: (
        m["bytes_per_pixel"] / max(m["bytes_per_pixel"].median(), 1e-9)
    ).clip(upper=1),
}
