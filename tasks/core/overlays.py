"""Attributions drawn over their images.

H height, W width, C channels, P colours
"""

import numpy as np
from PIL import Image

from tasks.core.thumbnails import encode_png

# Orange speaks for the class, blue against it: of one lightness, and apart for the colour-blind.
_FOR_3, _AGAINST_3 = np.array([225, 100, 0]), np.array([50, 140, 255])
_STRONGEST = 0.9  # of a pixel, at most so much is covered
# Black and white come nearer to each other, so that colour shows on both.
_DARKEST, _LIGHTEST = 40, 225
# Beyond this share of a map's pixels all are of full strength, so that one does not hide the rest.
_FULL_FROM = 0.99
# sRGB to cone responses and to Oklab, in which equal steps look equal (Ottosson, A perceptual color
# space for image processing, 2020).
_CONES = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
_OKLAB = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip


def overlay(image_HWC: np.ndarray, attributions_HW: np.ndarray) -> np.ndarray:
    """The image in grey, coloured where it speaks for its class (orange) and against it (blue), the
    more the stronger: uint8 (H, W, 3)."""
    strength_HW = np.abs(attributions_HW)
    most = np.quantile(strength_HW, _FULL_FROM) or strength_HW.max()
    share_HW1 = (strength_HW / most if most else strength_HW).clip(0, 1)[..., None]
    colour_HW3 = np.where(attributions_HW[..., None] >= 0, _FOR_3, _AGAINST_3)
    return mix(_grey(image_HWC), colour_HW3, _STRONGEST * share_HW1)


def _grey(image_HWC: np.ndarray) -> np.ndarray:
    image = Image.fromarray(image_HWC.squeeze(axis=2) if image_HWC.shape[2] == 1 else image_HWC)
    levels_HW3 = np.asarray(image.convert("L").convert("RGB")) / 255
    return _DARKEST + (_LIGHTEST - _DARKEST) * levels_HW3


def mix(under_HW3: np.ndarray, over_HW3: np.ndarray, share_HW1: np.ndarray) -> np.ndarray:
    """Between two colours (0…255), in steps that look equal where shares are: uint8 (H, W, 3)."""
    under, over = (_to_oklab(np.asarray(one) / 255) for one in (under_HW3, over_HW3))
    mixed = _from_oklab(under + share_HW1 * (over - under))
    return (255 * mixed).round().astype(np.uint8)


def _to_oklab(srgb_HW3: np.ndarray) -> np.ndarray:
    bright = ((srgb_HW3 + 0.055) / 1.055) ** 2.4
    linear_HW3 = np.where(srgb_HW3 <= 0.04045, srgb_HW3 / 12.92, bright)
    return np.cbrt(linear_HW3 @ _CONES.T) @ _OKLAB.T


def _from_oklab(oklab_HW3: np.ndarray) -> np.ndarray:
    linear_HW3 = (oklab_HW3 @ np.linalg.inv(_OKLAB).T) ** 3 @ np.linalg.inv(_CONES).T
    linear_HW3 = linear_HW3.clip(0, 1)
    bright = 1.055 * linear_HW3 ** (1 / 2.4) - 0.055
    return np.where(linear_HW3 <= 0.0031308, 12.92 * linear_HW3, bright).clip(0, 1)


def draw_scale(width: int, height: int) -> bytes:
    """A PNG from fully against the class, at the left, to fully for it."""
    strength_HW = np.broadcast_to(np.linspace(-1, 1, width), (height, width))
    grey_HWC = np.full((height, width, 1), 128, dtype=np.uint8)
    return encode_png(Image.fromarray(overlay(grey_HWC, strength_HW)))
