"""Shapley values are those of the definition; superpixels follow colours."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.superpixels import draw_coalitions, find_superpixels, kernel_shap, lime


def game(num_parts: int, seed: int):
    """Worths of every coalition, drawn by lot: (S, F) → (S, 2), and the same as a dict."""
    worths = np.random.default_rng(seed).normal(size=(2**num_parts, 2))
    powers = 2 ** np.arange(num_parts)
    return lambda coalitions_SF: worths[coalitions_SF.astype(int) @ powers], worths


def shapley(worths: np.ndarray, num_parts: int) -> np.ndarray:
    """By definition: what a part adds to every coalition of others, (2, F)."""
    values = np.zeros((2, num_parts))
    for part in range(num_parts):
        others = [other for other in range(num_parts) if other != part]
        for size in range(num_parts):
            for some in combinations(others, size):
                before = sum(2**other for other in some)
                weight = 1 / (num_parts * comb(num_parts - 1, size))
                values[:, part] += weight * (worths[before + 2**part] - worths[before])
    return values


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(0, 1000))
def test_all_coalitions_give_the_shapley_values(num_parts, seed):
    values_of, worths = game(num_parts, seed)
    found = kernel_shap(values_of, num_parts, 2**num_parts - 2, np.random.default_rng(seed))
    np.testing.assert_allclose(found, shapley(worths, num_parts), atol=1e-8)


def test_a_sample_comes_near_them_and_adds_up_to_the_whole():
    values_of, worths = game(8, 0)
    truth = shapley(worths, 8)
    found = [kernel_shap(values_of, 8, 200, np.random.default_rng(seed)) for seed in range(30)]
    for one in found:
        np.testing.assert_allclose(one.sum(axis=1), worths[-1] - worths[0], atol=1e-8)
    np.testing.assert_allclose(np.mean(found, axis=0), truth, atol=0.08)


@given(st.integers(2, 12), st.integers(2, 60), st.integers(0, 100))
def test_coalitions_are_neither_none_nor_all_and_come_with_their_complements(parts, number, seed):
    coalitions, weights = draw_coalitions(parts, number, np.random.default_rng(seed))
    sizes = coalitions.sum(axis=1)
    assert (sizes > 0).all() and (sizes < parts).all() and len(weights) == len(coalitions)
    assert len(coalitions) >= min(number, 2**parts - 2)
    as_rows = sorted(map(tuple, coalitions.tolist()))
    assert as_rows == sorted(map(tuple, (~coalitions).tolist()))


def test_a_sum_is_recovered_by_a_linear_model():
    weights = np.array([[3.0, -1.0, 0.5, 0.0], [0.0, 2.0, 2.0, -4.0]])
    found = lime(lambda left: left @ weights.T + 7, 4, 100, np.random.default_rng(0))
    np.testing.assert_allclose(found, weights, atol=0.01)


def test_superpixels_keep_to_what_has_one_colour():
    image = np.zeros((1, 16, 16, 3), dtype=np.uint8)
    image[0, :, 7:] = [255, 128, 0]
    (segments,) = find_superpixels(image, 4)
    assert segments.shape == (16, 16) and set(segments.ravel()) == set(range(16))
    for part in range(16):
        assert len(np.unique(image[0][segments == part], axis=0)) == 1


def test_of_one_colour_they_are_a_grid():
    (segments,) = find_superpixels(np.full((1, 12, 8, 1), 77, dtype=np.uint8), 2)
    assert (segments == np.kron([[0, 1], [2, 3]], np.ones((6, 4), int))).all()


@pytest.mark.parametrize(("shape", "parts"), [((2, 2), 4), ((3, 9), 15), ((1, 4), 4)])
def test_small_images_have_fewer_parts(shape, parts):
    images = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    segments = find_superpixels(images, 5)
    assert segments.max() < parts and segments.shape == images.shape[:3]
