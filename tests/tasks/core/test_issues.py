"""Odd images are found by what is odd about them, and only they."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.issues import Thresholds, find_issues, score_images
from tasks.core.measures import measure
from tasks.core.pixels import Picture

THRESHOLDS = Thresholds(
    dark=0.3, light=0.1, low_contrast=0.1, low_information=0.25, near_uniform=0.05, blurred=0.35,
    odd_aspect=0.35, odd_size=0.1, odd_colour=0.05, over_compressed=0.1,
)  # fmt: skip
RNG = np.random.default_rng(0)


def table(*pictures: np.ndarray, num_bytes: int = 900) -> pd.DataFrame:
    rows = measure([(Picture(p, "PNG", p.shape[1], p.shape[0]), num_bytes) for p in pictures])
    frame = pd.DataFrame(rows)
    return frame.assign(image_id=[f"i{number}" for number in range(len(frame))])


def ordinary(height: int = 30, width: int = 32) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


PLAIN = [ordinary() for _ in range(40)]
ODD = {
    "dark": (ordinary() * 0.2).astype(np.uint8),
    "light": (ordinary() * 0.05 + 240).astype(np.uint8),
    "low_contrast": (ordinary() * 0.05 + 120).astype(np.uint8),
    "low_information": np.where(ordinary() > 128, np.uint8(255), np.uint8(0))[..., [0, 0, 0]],
    "near_uniform": np.full((30, 32, 3), (90, 120, 40), np.uint8),
    "blurred": np.tile(np.linspace(0, 255, 32).astype(np.uint8)[:, None], (30, 1, 3)),
    "odd_aspect": ordinary(10, 90),
    "odd_size": ordinary(300, 320),
    "odd_colour": ordinary()[..., [0, 0, 0]],
}


@pytest.mark.parametrize("issue", ODD)
def test_an_odd_image_among_plain_ones_has_its_issue_and_plain_ones_none(issue):
    issues = find_issues(table(*PLAIN, ODD[issue]), THRESHOLDS, fence=3.0)
    assert issue in set(issues["issue"])
    assert set(issues["image_id"]) == {f"i{len(PLAIN)}"}


def test_too_few_bytes_for_the_pixels():
    squeezed = table(*PLAIN[:1], num_bytes=9).assign(image_id="odd")
    issues = find_issues(
        pd.concat([table(*PLAIN), squeezed], ignore_index=True), THRESHOLDS, fence=3.0
    )
    assert issues[["image_id", "issue"]].to_numpy().tolist() == [["odd", "over_compressed"]]


def test_what_is_odd_among_these_images_alone_is_told_so():
    measures = table(*PLAIN).assign(sharpness=np.linspace(0.09, 0.11, 40))
    measures.loc[7, "sharpness"] = 0.002
    issues = find_issues(measures, THRESHOLDS, fence=3.0)
    assert issues[["image_id", "issue", "against"]].to_numpy().tolist() == [
        ["i7", "blurred", "data"]
    ]
    assert find_issues(measures, THRESHOLDS, fence=1e6).empty


def test_the_worst_come_first():
    measures = table(*PLAIN).assign(light_point=np.linspace(0.01, 0.9, 40))
    issues = find_issues(measures, THRESHOLDS, fence=1e6)
    assert issues["score"].is_monotonic_increasing and len(issues) == 13


def test_no_images_have_no_issues():
    assert find_issues(table(*PLAIN).iloc[:0], THRESHOLDS, fence=3.0).empty


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(0, 255)), min_size=1))
def test_scores_lie_between_0_and_1(shapes):
    pictures = [
        np.random.default_rng(level).integers(0, level + 1, (height, width), dtype=np.uint8)
        for height, width, level in shapes
    ]
    scores = score_images(table(*pictures))
    assert list(scores.columns) == list(Thresholds.model_fields)
    assert scores.notna().all(axis=None)
    assert ((scores >= 0) & (scores <= 1)).all(axis=None)
