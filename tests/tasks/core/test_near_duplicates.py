"""Copies are found whatever small thing was done to them; candidates equal brute force."""

import io
from itertools import combinations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.fft import dctn

from tasks.core.near_duplicates import (
    NUM_VARIANTS,
    find_candidates,
    hash_variants,
    measure_differences,
)


def pictures(number: int, side: int = 32, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Random pictures with as much in every octave as natural ones have."""
    rng = np.random.default_rng(seed)
    images = np.zeros((number, side, side, channels))
    for cells in (2, 4, 8, 16):
        coarse = rng.normal(0, 100 / np.sqrt(cells), (number, cells, cells)).astype(np.float32)
        smooth = [cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in coarse]
        images += np.stack(smooth)[..., None]
    tint = rng.integers(-40, 40, (number, 1, 1, channels))
    return np.clip(images + 128 + tint, 0, 255).astype(np.uint8)


def found_at(base: np.ndarray, copies: np.ndarray, max_bits: int = 4) -> np.ndarray:
    """Which copies are found to be near, each with its own base and with no other."""
    images = np.concatenate([base, copies])
    found = find_candidates(hash_variants(images), max_bits)
    differences = measure_differences(images[found.query], images[found.target], found.variant)
    near = differences <= 0.03
    pairs = np.sort(np.column_stack([found.query, found.target])[near], axis=1)
    assert (pairs[:, 1] - pairs[:, 0] == len(base)).all(), "a pair that was not planted"
    return np.isin(np.arange(len(base)), pairs[:, 0])


def recompressed(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def resized(image: np.ndarray) -> np.ndarray:
    small = cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (32, 32), interpolation=cv2.INTER_LINEAR)


def moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """What comes in at the rim repeats it."""
    rows, columns = (np.clip(np.arange(len(image)) - by, 0, len(image) - 1) for by in (down, right))
    return image[rows][:, columns]


def cropped(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image[1:31, 1:31], (32, 32), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize(
    "change",
    [
        recompressed,
        resized,
        cropped,
        lambda image: moved(image, 0, 1),
        lambda image: moved(image, -1, 1),
        lambda image: np.clip(image.astype(int) + 3, 0, 255).astype(np.uint8),
    ],
)
def test_changed_copies_are_found_and_no_others(change):
    base = pictures(200)
    assert found_at(base, np.stack([change(image) for image in base])).mean() >= 0.95


@pytest.mark.parametrize(
    "change", [lambda p: 255 - p, lambda p: p[:, ::-1], lambda p: np.roll(p, 6, axis=1)]
)
def test_another_picture_made_of_the_same_pixels_is_none(change):
    base = pictures(100)
    assert not found_at(base, change(base)).any()


def test_the_hash_is_that_of_the_discrete_cosine_transform():
    base = pictures(30, channels=1)
    for image, value in zip(base[..., 0], hash_variants(base)[:, 0], strict=True):
        low = np.asarray(dctn(image.astype(float), norm="ortho"))[:8, :8].ravel()
        bits = np.concatenate([[False], low[1:] > 0])
        expected = int("".join("01"[bit] for bit in bits.astype(int)), 2)
        assert (int(value) ^ expected).bit_count() <= 1


def test_a_difference_is_that_of_grey_levels_where_both_are_smooth():
    base = np.full((1, 16, 16, 1), 100, np.uint8)
    brighter = np.full((1, 16, 16, 1), 151, np.uint8)
    zero = np.zeros(1, int)
    assert measure_differences(base, brighter, zero) == pytest.approx([0.2], abs=1e-6)
    assert measure_differences(base, base, zero) == pytest.approx([0], abs=1e-7)


def test_shifted_content_is_measured_where_the_variant_puts_it():
    base = pictures(20, side=32)
    shifted = np.stack([moved(image, 0, -1) for image in base])
    apart = np.array(
        [measure_differences(base, shifted, np.full(20, v)) for v in range(NUM_VARIANTS)]
    )
    # One and the same variant undoes the shift for all of them.
    assert len(set(apart.argmin(axis=0))) == 1 and apart.argmin(axis=0)[0] != 0


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (16, 3), (31, 1), (32, 3), (100, 3)])
def test_any_canonical_size_can_be_hashed(side, channels):
    hashes = hash_variants(pictures(5, side, channels))
    assert hashes.shape == (5, NUM_VARIANTS) and len(set(hashes[:, 0].tolist())) == 5


def brute_force(hashes_NV: np.ndarray, max_bits: int) -> set[tuple[int, int, int]]:
    return {
        (query, target, variant)
        for query in range(len(hashes_NV))
        for target in range(len(hashes_NV))
        for variant in range(NUM_VARIANTS)
        if query != target
        and (int(hashes_NV[query, variant]) ^ int(hashes_NV[target, 0])).bit_count() <= max_bits
    }


# Few set bits, at both ends and in the middle, so that many are close.
CLOSE = np.array(
    [
        sum(1 << bit for bit in bits)
        for count in range(7)
        for bits in combinations((0, 1, 2, 7, 8, 21, 31, 32, 62, 63), count)
    ],
    np.uint64,
)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 10_000))
def test_candidates_of_distinct_hashes_equal_brute_force(rows, max_bits, seed):
    values = np.random.default_rng(seed).permutation(CLOSE)[: rows * NUM_VARIANTS]
    hashes = values.reshape(rows, NUM_VARIANTS)
    found = find_candidates(hashes, max_bits)
    triples = list(zip(*(column.tolist() for column in found), strict=True))
    assert len(set(triples)) == len(triples)
    assert set(triples) == brute_force(hashes, max_bits)


def test_thousands_of_blank_images_give_a_line_of_pairs():
    found = find_candidates(hash_variants(np.zeros((3000, 8, 8, 1), np.uint8)), 4)
    pairs = set(zip(found.query.tolist(), found.target.tolist(), strict=True))
    assert pairs == {(row, 0) for row in range(1, 3000)}


def test_no_images_have_no_pairs():
    assert len(find_candidates(np.empty((0, NUM_VARIANTS), np.uint64), 4).query) == 0
