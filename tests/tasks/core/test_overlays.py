"""Colour tells sign and strength, lightness the image, in steps that look equal."""

import io

import numpy as np
import pytest
from PIL import Image

from tasks.core.overlays import _AGAINST_3, _FOR_3, _to_oklab, draw_scale, mix, overlay


@pytest.mark.parametrize("channels", [1, 3])
def test_where_nothing_speaks_the_image_is_grey(channels):
    image = np.random.default_rng(0).integers(0, 256, (5, 6, channels), dtype=np.uint8)
    drawn = overlay(image, np.zeros((5, 6)))
    assert drawn.shape == (5, 6, 3) and drawn.dtype == np.uint8
    assert (np.ptp(drawn, axis=2) == 0).all()
    if channels == 1:
        order = image[..., 0].argsort(axis=None)
        assert (np.diff(drawn[..., 0].ravel()[order].astype(int)) >= 0).all()
        assert drawn.min() >= 40 and drawn.max() <= 225


def test_sign_is_colour_and_strength_is_how_much_of_it():
    image = np.full((1, 5, 1), 128, dtype=np.uint8)
    (drawn,) = overlay(image, np.array([[-2.0, -1.0, 0.0, 1.0, 2.0]])).astype(int)
    warmth = drawn[:, 0] - drawn[:, 2]
    assert (np.diff(warmth) > 40).all() and warmth[2] == 0


def test_a_single_pixel_does_not_hide_the_others():
    attributions = np.ones((20, 20))
    attributions[0, 0] = 1e6
    drawn = overlay(np.full((20, 20, 1), 128, dtype=np.uint8), attributions)
    assert (drawn[0, 0] == drawn[10, 10]).all()


def test_the_two_colours_are_equally_light():
    lightness = [_to_oklab(colour / 255)[0] for colour in (_FOR_3, _AGAINST_3)]
    assert lightness[0] == pytest.approx(lightness[1], abs=0.01)


def test_equal_shares_are_equal_steps():
    """Oklab of white is (1, 0, 0), and of sRGB's red as its author gives it."""
    np.testing.assert_allclose(_to_oklab(np.ones(3)), [1, 0, 0], atol=1e-3)
    np.testing.assert_allclose(_to_oklab(np.array([1.0, 0, 0])), [0.628, 0.225, 0.126], atol=1e-3)
    shares = np.linspace(0, 1, 6)[:, None]
    steps = np.diff(_to_oklab(mix(np.full(3, 128), _FOR_3, shares) / 255), axis=0)
    assert np.linalg.norm(steps - steps.mean(axis=0), axis=1).max() < 0.01
    assert (mix(np.full(3, 128), _FOR_3, shares)[[0, -1]] == [[128] * 3, _FOR_3]).all()


def test_the_scale_goes_from_against_to_for():
    with Image.open(io.BytesIO(draw_scale(41, 3))) as image:
        assert image.size == (41, 3)
        left, middle, right = np.asarray(image)[1, [0, 20, 40]].tolist()
    assert left[2] > left[0] and right[0] > right[2] and len(set(middle)) == 1
