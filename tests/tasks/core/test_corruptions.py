"""Every corruption is repeatable, keeps shape and type, and does more at more strength."""

import cv2
import numpy as np
import pytest

from tasks.core.corruptions import CORRUPTIONS, STRENGTHS, corrupt


def pictures(side: int, channels: int) -> np.ndarray:
    """Smooth shapes, from dark to light."""
    down, across = np.mgrid[:side, :side] / side
    one = 0.5 + 0.25 * np.sin(9 * down) + 0.2 * np.cos(11 * across)
    tints = np.array([1.0, 0.9, 0.75])[:channels]
    images = np.stack([one, one[::-1], one.T, np.roll(one, side // 3)])[..., None] * tints
    return np.rint(255 * images).astype(np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_it_does_more_at_more_strength(name, channels):
    images = pictures(32, channels)
    before = images.copy()
    changes = []
    for strength in STRENGTHS:
        changed = corrupt(images, name, strength, 7)
        assert changed.shape == images.shape and changed.dtype == np.uint8
        assert (changed == corrupt(images, name, strength, 7)).all()
        changes.append(float(np.abs(changed.astype(float) - images).mean()))
    assert (images == before).all()
    assert changes[0] > 0 and changes == sorted(changes)
    assert changes[-1] > 1.5 * changes[0]


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (1, 9, 13, 3), (0, 8, 8, 3)])
def test_images_of_any_size_keep_it(name, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for strength in (1, 5):
        changed = corrupt(images, name, strength, 0)
        assert changed.shape == shape and changed.dtype == np.uint8


def test_what_is_drawn_follows_the_seed():
    images = pictures(16, 3)
    random = {"gaussian_noise", "shot_noise", "impulse_noise", "motion_blur", "fog", "shift"}
    for name in CORRUPTIONS:
        first, other = (corrupt(images, name, 3, seed) for seed in (0, 1))
        assert (first != other).any() == (name in random), name


def test_known_amounts():
    grey = np.full((1, 40, 40, 1), 128, np.uint8)
    noise = corrupt(np.repeat(grey, 50, axis=0), "gaussian_noise", 2, 0).astype(float) - 128
    assert noise.std() == pytest.approx(0.08 * 255, rel=0.02)
    shot = corrupt(np.repeat(grey, 50, axis=0), "shot_noise", 1, 0) / 255
    assert shot.std() == pytest.approx(np.sqrt(128 / 255 / 200), rel=0.03)
    salted = corrupt(np.repeat(grey, 50, axis=0), "impulse_noise", 5, 0)
    assert (salted != 128).mean() == pytest.approx(0.25, abs=0.01)
    assert (corrupt(grey, "brightness", 1, 0) == round(128 + 0.08 * 255)).all()
    assert (corrupt(grey, "contrast", 5, 0) == 128).all()
    images = pictures(32, 3)
    lowered = corrupt(images, "contrast", 2, 0)
    assert lowered.std() == pytest.approx(0.55 * images.std(), rel=0.1)
    blurred = corrupt(images[..., :1], "gaussian_blur", 3, 0)[0, ..., 0]
    expected = cv2.GaussianBlur(images[0, ..., 0], (0, 0), 0.04 * 32)
    assert np.abs(blurred.astype(float) - expected).max() <= 1


def test_a_shift_moves_a_dot_by_its_reach():
    dots = np.zeros((30, 50, 50, 1), np.uint8)
    dots[:, 20:30, 20:30] = 255
    moved = corrupt(dots, "shift", 5, 0).astype(float)[..., 0]
    down, across = np.mgrid[:50, :50]
    mass = moved.sum(axis=(1, 2))
    centres = np.stack([(moved * axis).sum(axis=(1, 2)) / mass for axis in (down, across)])
    reach = np.hypot(*(centres - 24.5))
    assert reach == pytest.approx(np.full(30, 0.12 * 50), abs=0.2)


@pytest.mark.parametrize(("name", "strength"), [("rain", 1), ("fog", 0), ("fog", 6)])
def test_what_there_is_not_is_refused(name, strength):
    with pytest.raises(ValueError, match="expected one of"):
        corrupt(pictures(8, 1), name, strength, 0)
