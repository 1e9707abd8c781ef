"""A fixed set of corruptions at five strengths, after Hendrycks and Dietterich (Benchmarking neural
network robustness to common corruptions and perturbations, 2019), for images of any size.

Lengths are fractions of an image's side, so that a strength means about the same at 16 pixels and
at 512; amounts of noise and light are fractions of the range of a pixel.

N images, H height, W width, C channels (1 or 3)
"""

from collections.abc import Callable

import cv2
import numpy as np

Images = np.ndarray
_NUM_STRENGTHS = 5


def _gaussian_noise(x_NHWC: Images, amount: float, rng: np.random.Generator) -> Images:
    return x_NHWC + rng.normal(0, amount, x_NHWC.shape)


def _shot_noise(x_NHWC: Images, photons: float, rng: np.random.Generator) -> Images:
    return rng.poisson(x_NHWC * photons) / photons


def _impulse_noise(x_NHWC: Images, share: float, rng: np.random.Generator) -> Images:
    """Salt and pepper, of all channels of a pixel at once."""
    draw_NHW1 = rng.random((*x_NHWC.shape[:3], 1))
    return np.where(draw_NHW1 < share / 2, 0, np.where(draw_NHW1 > 1 - share / 2, 1, x_NHWC))


def _gaussian_blur(x_NHWC: Images, reach: float, _: np.random.Generator) -> Images:
    sigma = reach * max(x_NHWC.shape[1:3])
    return _each(x_NHWC, lambda image: cv2.GaussianBlur(image, (0, 0), sigma))


def _motion_blur(x_NHWC: Images, reach: float, rng: np.random.Generator) -> Images:
    """Along a line of any direction."""
    length = reach * max(x_NHWC.shape[1:3])
    half = int(np.ceil(length / 2)) + 1
    # The line is drawn by many points, each shared among the pixels around it.
    along = np.linspace(-length / 2, length / 2, 8 * (2 * half + 1))
    blurred = np.empty_like(x_NHWC)
    for number, angle in enumerate(rng.uniform(0, np.pi, len(x_NHWC))):
        kernel = np.zeros((2 * half + 1, 2 * half + 1))
        across, down = half + along * np.cos(angle), half + along * np.sin(angle)
        left, top = np.floor(across).astype(int), np.floor(down).astype(int)
        for step_down in (0, 1):
            for step_across in (0, 1):
                share = np.abs(1 - step_across - (across - left))
                share = share * np.abs(1 - step_down - (down - top))
                np.add.at(kernel, (top + step_down, left + step_across), share)
        image = cv2.filter2D(x_NHWC[number], -1, kernel / kernel.sum())
        blurred[number] = image.reshape(x_NHWC.shape[1:])
    return blurred


def _brightness(x_NHWC: Images, amount: float, _: np.random.Generator) -> Images:
    return x_NHWC + amount


def _darkness(x_NHWC: Images, amount: float, _: np.random.Generator) -> Images:
    return x_NHWC - amount


def _contrast(x_NHWC: Images, factor: float, _: np.random.Generator) -> Images:
    mean_N1 = x_NHWC.mean(axis=(1, 2), keepdims=True)
    return (x_NHWC - mean_N1) * factor + mean_N1


def _fog(x_NHWC: Images, amount: float, rng: np.random.Generator) -> Images:
    """A veil that is thicker here than there: noise of a coarse grid, made smooth."""
    height, width = x_NHWC.shape[1:3]
    veil_NHW = np.stack(
        [
            cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC)
            for one in rng.random((len(x_NHWC), 4, 4))
        ]
    )
    thickness = amount * np.clip(veil_NHW, 0, 1)[..., None]
    return x_NHWC * (1 - thickness) + thickness


def _pixelate(x_NHWC: Images, factor: float, _: np.random.Generator) -> Images:
    height, width = x_NHWC.shape[1:3]
    coarse = (max(1, round(width * factor)), max(1, round(height * factor)))

    def shrink_and_grow(image: np.ndarray) -> np.ndarray:
        shrunk = cv2.resize(image, coarse, interpolation=cv2.INTER_AREA)
        return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    return _each(x_NHWC, shrink_and_grow)


def _jpeg(x_NHWC: Images, quality: float, _: np.random.Generator) -> Images:
    levels = np.rint(x_NHWC * 255).astype(np.uint8)
    has_colour = levels.shape[3] == 3

    def encode_and_decode(image: np.ndarray) -> np.ndarray:
        # OpenCV takes colours in the order blue, green, red.
        options = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
        _, data = cv2.imencode(".jpg", image[..., ::-1] if has_colour else image, options)
        read = cv2.imdecode(data, cv2.IMREAD_COLOR if has_colour else cv2.IMREAD_GRAYSCALE)
        assert read is not None
        return read[..., ::-1] if has_colour else read

    return _each(levels, encode_and_decode) / 255


def _shift(x_NHWC: Images, reach: float, rng: np.random.Generator) -> Images:
    """By fractions of a pixel too, in any direction; the edge is repeated."""
    height, width = x_NHWC.shape[1:3]
    shifted = np.empty_like(x_NHWC)
    for number, angle in enumerate(rng.uniform(0, 2 * np.pi, len(x_NHWC))):
        across, down = reach * width * np.cos(angle), reach * height * np.sin(angle)
        move = np.array([[1, 0, across], [0, 1, down]])
        image = cv2.warpAffine(
            x_NHWC[number], move, (width, height), borderMode=cv2.BORDER_REPLICATE
        )
        shifted[number] = image.reshape(x_NHWC.shape[1:])
    return shifted


def _each(x_NHWC: Images, change: Callable[[np.ndarray], np.ndarray]) -> Images:
    """OpenCV drops a single channel."""
    return np.stack([change(image).reshape(x_NHWC.shape[1:]) for image in x_NHWC])


# What is done, and how much of it at strengths 1 to 5.
_KINDS: dict[
    str, tuple[Callable[[Images, float, np.random.Generator], Images], tuple[float, ...]]
] = {
    "gaussian_noise": (_gaussian_noise, (0.04, 0.08, 0.12, 0.18, 0.26)),
    "shot_noise": (_shot_noise, (200.0, 80.0, 35.0, 15.0, 7.0)),
    "impulse_noise": (_impulse_noise, (0.02, 0.05, 0.09, 0.15, 0.25)),
    "gaussian_blur": (_gaussian_blur, (0.015, 0.025, 0.04, 0.055, 0.08)),
    "motion_blur": (_motion_blur, (0.06, 0.1, 0.15, 0.22, 0.3)),
    "brightness": (_brightness, (0.08, 0.16, 0.24, 0.32, 0.42)),
    "darkness": (_darkness, (0.08, 0.16, 0.24, 0.32, 0.42)),
    "contrast": (_contrast, (0.75, 0.55, 0.4, 0.27, 0.16)),
    "fog": (_fog, (0.3, 0.45, 0.6, 0.75, 0.9)),
    "pixelate": (_pixelate, (0.75, 0.6, 0.5, 0.35, 0.25)),
    "jpeg": (_jpeg, (40.0, 25.0, 16.0, 10.0, 6.0)),
    "shift": (_shift, (0.02, 0.04, 0.06, 0.09, 0.12)),
}
CORRUPTIONS: tuple[str, ...] = tuple(_KINDS)
STRENGTHS = tuple(range(1, _NUM_STRENGTHS + 1))


def corrupt(images_NHWC: np.ndarray, name: str, strength: int, seed: int) -> np.ndarray:
    """uint8 (N, H, W, C) → uint8 (N, H, W, C). An image's draws come from the
    other three arguments and its place among the images.

    Raises ValueError for a name or a strength that there is not.
    """
    if name not in _KINDS:
        raise ValueError(f"no corruption {name!r}; expected one of {list(CORRUPTIONS)}")
    if strength not in STRENGTHS:
        raise ValueError(f"strength {strength}: expected one of {list(STRENGTHS)}")
    if len(images_NHWC) == 0:
        return images_NHWC.copy()
    change, amounts = _KINDS[name]
    rng = np.random.default_rng([seed, CORRUPTIONS.index(name), strength])
    changed = change(images_NHWC / 255, amounts[strength - 1], rng)
    return np.rint(np.clip(changed, 0, 1) * 255).astype(np.uint8)
