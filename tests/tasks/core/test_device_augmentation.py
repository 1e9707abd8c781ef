"""On the device a policy does what albumentations does: equal where nothing is left to chance, of
equal distribution elsewhere, and drawn from (seed, epoch, batch) and an image's place alone.

N images, H height, W width, C channels
"""

import albumentations as A
import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from scipy import stats

from tasks.core.device_augmentation import DevicePolicy
from tasks.core.errors import ParamsError
from tasks.core.policy import Transform, Transforms, augment_batch, build_policy
from tasks.core.presets import PRESETS


def smooth_images(count: int, size: int, channels: int) -> np.ndarray:
    """Without sharp edges, at which roundings of places show."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    waves = rng.uniform(0.5, 3, (count, 1, 1, channels, 2))
    phases = rng.uniform(0, 6, (count, 1, 1, channels))
    angle = waves[..., 0] * 3 * x[None, :, :, None] + waves[..., 1] * 3 * y[None, :, :, None]
    return (128 + 100 * np.sin(angle + phases)).astype(np.uint8)


def build(name: str, arguments: dict, size: int, channels: int) -> A.Compose:
    return build_policy([Transform(name=name, arguments=arguments)], (size, size, channels))


def on_device(policy: A.Compose, images: np.ndarray, *numbers: int) -> np.ndarray:
    seed, epoch, batch = numbers or (0, 0, 0)
    given = torch.from_numpy(images)
    augmented = DevicePolicy(policy).augment(given, seed, epoch, batch, 0, len(images))
    assert augmented.dtype == torch.uint8 and augmented.shape == given.shape
    return augmented.numpy()


@pytest.mark.parametrize(
    ("name", "arguments", "most"),
    [
        ("HorizontalFlip", {"p": 1}, 0),
        ("VerticalFlip", {"p": 1}, 0),
        ("RandomResizedCrop", {"scale": [1, 1], "ratio": [1, 1]}, 0),
        ("Affine", {"rotate": [20, 20], "p": 1}, 3),
        ("Affine", {"scale": {"x": [1.3, 1.3], "y": [0.8, 0.8]}, "p": 1}, 3),
        ("Affine", {"shear": {"x": [15, 15], "y": [-8, -8]}, "p": 1}, 3),
        ("Affine", {"translate_percent": {"x": [0.2, 0.2], "y": [-0.13, -0.13]}, "p": 1}, 3),
        ("Affine", {"translate_px": {"x": [3, 3], "y": [-2, -2]}, "p": 1}, 0),
        (
            "Affine",
            {
                "rotate": [-35, -35],
                "scale": {"x": [0.9, 0.9], "y": [1.2, 1.2]},
                "shear": {"x": [10, 10], "y": [5, 5]},
                "translate_percent": {"x": [0.1, 0.1], "y": [0.06, 0.06]},
                "fill": 90,
                "p": 1,
            },
            3,
        ),
        ("RandomBrightnessContrast", {"brightness_limit": [0.2, 0.2], "p": 1}, 1),
        ("RandomBrightnessContrast", {"contrast_limit": [0.4, 0.4], "p": 1}, 1),
        ("GaussianBlur", {"sigma_limit": [1.3, 1.3], "p": 1}, 1),
        ("GaussianBlur", {"sigma_limit": [0.4, 0.4], "p": 1}, 1),
        ("GaussNoise", {"std_range": [0, 0], "mean_range": [0.1, 0.1], "p": 1}, 1),
        ("ToGray", {"p": 1}, 1),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.filterwarnings("ignore:The image is already gray")
def test_without_chance_the_images_are_those_of_albumentations(name, arguments, most, channels):
    # One limit is named; the other would be drawn.
    if name == "RandomBrightnessContrast":
        arguments = {"brightness_limit": [0, 0], "contrast_limit": [0, 0], **arguments}
    policy = build(name, arguments, 24, channels)
    images = smooth_images(12, 24, channels)
    expected = augment_batch(policy, images, 0, 0, 0).astype(int)
    found = on_device(policy, images).astype(int)
    # It rounds places to a 32nd of a pixel, so at the border of a fill some pixels are apart.
    apart = np.abs(found - expected)
    assert (apart <= most).mean() >= (0.98 if name == "Affine" else 1)
    assert apart.mean() < 1
    is_unchanged = name == "RandomResizedCrop" or (name == "ToGray" and channels == 1)
    assert (found == images).all() == is_unchanged


@pytest.mark.parametrize("amount", ["brightness", "contrast", "saturation", "hue"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jitter_of_one_kind_is_that_of_albumentations(amount, channels):
    values = {"brightness": 1.2, "contrast": 0.6, "saturation": 1.4, "hue": 0.15}
    given = {name: [1, 1] for name in values} | {"hue": [0, 0]}
    policy = build("ColorJitter", {**given, amount: [values[amount]] * 2, "p": 1}, 24, channels)
    images = smooth_images(12, 24, channels)
    apart = np.abs(on_device(policy, images).astype(int) - augment_batch(policy, images, 0, 0, 0))
    # Hues are whole degrees of 180 there.
    assert apart.mean() < (2.5 if amount == "hue" else 0.6)
    assert np.quantile(apart, 0.99) <= (8 if amount == "hue" else 1)


def statistics(augmented_NHWC: np.ndarray) -> dict[str, np.ndarray]:
    values = augmented_NHWC.astype(float)
    return {
        "mean": values.mean(axis=(1, 2, 3)),
        "deviation": values.std(axis=(1, 2, 3)),
        "left against right": values[:, :, :12].mean(axis=(1, 2, 3)) - values.mean(axis=(1, 2, 3)),
        "top against bottom": values[:, :12].mean(axis=(1, 2, 3)) - values.mean(axis=(1, 2, 3)),
        "roughness": np.abs(np.diff(values, axis=2)).mean(axis=(1, 2, 3)),
        "black": (values.max(axis=3) == 0).mean(axis=(1, 2)),
        "colour": values.std(axis=3).mean(axis=(1, 2)),
    }


POLICIES = {
    **PRESETS,
    "crop": [{"name": "RandomResizedCrop", "arguments": {"scale": [0.1, 0.6]}}],
    "flips": [
        {"name": "HorizontalFlip", "arguments": {"p": 0.3}},
        {"name": "VerticalFlip", "arguments": {"p": 0.7}},
    ],
    "noise": [{"name": "GaussNoise", "arguments": {"std_range": [0.02, 0.2], "p": 0.6}}],
    "blur": [{"name": "GaussianBlur", "arguments": {"sigma_limit": [0.3, 2.0], "p": 0.7}}],
    "warp": [
        {"name": "Affine", "arguments": {"scale": [0.6, 1.4], "translate_percent": 0.2, "p": 0.8}}
    ],
    "boxes": [
        {
            "name": "CoarseDropout",
            "arguments": {"num_holes_range": [1, 4], "hole_height_range": [2, 9]}
            | {"hole_width_range": [1, 5], "p": 0.8},
        }
    ],
    "jitter": [{"name": "ColorJitter", "arguments": {"hue": [-0.3, 0.3], "p": 1}}],
}


@pytest.mark.parametrize("name", POLICIES)
def test_distributions_are_those_of_albumentations(name):
    """One image, augmented 3,000 times by each: its statistics have equal distributions."""
    transforms = TypeAdapter(Transforms).validate_python(POLICIES[name], strict=True)
    policy = build_policy(transforms, (24, 24, 3))
    image = np.repeat(smooth_images(3, 24, 3)[2:], 3000, axis=0)
    expected = statistics(augment_batch(policy, image, 1, 0, 0))
    # An order of the jitters is drawn once a batch, so several are taken.
    parts = [on_device(policy, image[:100], 2, 0, batch) for batch in range(30)]
    found = statistics(np.concatenate(parts))
    for statistic, values in expected.items():
        scale = max(values.std(), 1.0 if statistic != "black" else 0.01)
        distance = stats.wasserstein_distance(values, found[statistic])
        assert distance < 0.12 * scale, (statistic, distance, scale)


def test_draws_hang_on_the_place_and_on_no_other_image():
    transforms = TypeAdapter(Transforms).validate_python("heavy", strict=True)
    noise = Transform(name="GaussNoise", arguments={"p": 0.5})
    policy = DevicePolicy(build_policy([*transforms, noise], (16, 16, 3)))
    images = torch.from_numpy(smooth_images(10, 16, 3))
    whole = policy.augment(images, 1, 2, 3, 0, 10)
    assert torch.equal(policy.augment(images, 1, 2, 3, 0, 10), whole)
    for first, last in ((0, 4), (4, 10), (9, 10)):
        part = policy.augment(images[first:last], 1, 2, 3, first, 10)
        assert torch.equal(part, whole[first:last])
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not torch.equal(policy.augment(images, *other, 0, 10), whole)
    same = images[:1].expand(10, -1, -1, -1)
    assert len({image.numpy().tobytes() for image in policy.augment(same, 0, 0, 0, 0, 10)}) == 10


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Posterize", {}, "transform Posterize has no version for the device; expected one of"),
        ("Affine", {"fit_output": True}, "Affine has no argument fit_output"),
        ("Affine", {"border_mode": 2}, "Affine has no argument border_mode"),
        ("GaussianBlur", {"blur_limit": [3, 7]}, "GaussianBlur has no argument blur_limit"),
        ("CoarseDropout", {"fill": "random"}, "CoarseDropout fills with 'random'"),
        ("GaussNoise", {"per_channel": False}, "GaussNoise has no argument per_channel"),
    ],
)
def test_what_the_device_cannot_do_is_refused_by_name(name, arguments, message):
    policy = A.Compose([getattr(A, name)(**arguments)])
    with pytest.raises(ParamsError, match=message):
        DevicePolicy(policy)
