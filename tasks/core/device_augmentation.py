"""Augmentation of a whole batch at once, on the device that trains: what `policy.augment_batch`
does by albumentations, an image at a time, on the host.

Each transform is computed for all images, and kept for those that it was drawn for: nothing waits
for the device.

N images, C channels, H height, W width
"""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import albumentations as A
import torch
from torch import Tensor

from tasks.core import device_transforms as on_device
from tasks.core.device_transforms import Arguments, Draws, along
from tasks.core.errors import ParamsError
from tasks.core.policy import Transforms, build_transform

Kernel = Callable[[Tensor, Arguments, Draws], Tensor]


class Step(NamedTuple):
    kernel: Kernel
    arguments: Arguments


class DevicePolicy:
    """A policy as steps on batches."""

    def __init__(self, policy: A.Compose):
        """Raises ParamsError for a transform or an argument that only albumentations has."""
        try:
            self._steps = [_step(transform) for transform in policy.transforms]
        except ValueError as error:
            raise ParamsError(f"params.yaml: {error}") from None

    def augment(
        self, images_NHWC: Tensor, seed: int, epoch: int, batch: int, first: int, num_images: int
    ) -> Tensor:
        """Images from place `first` on of a batch of `num_images`; the draws come from (seed,
        epoch, batch) and an image's place alone. uint8 (N, H, W, C) → uint8 (N, H, W, C)."""
        x_NCHW = images_NHWC.permute(0, 3, 1, 2).float()
        for number, (kernel, arguments) in enumerate(self._steps):
            generator = torch.Generator(images_NHWC.device)
            generator.manual_seed(_seed(seed, epoch, batch, number))
            draws = Draws(generator, num_images, first, first + len(images_NHWC))
            is_drawn_N = draws.uniform(0, 1) < arguments["p"]
            changed_NCHW = kernel(x_NCHW, arguments, draws).clamp(0, 255)
            x_NCHW = torch.where(along(is_drawn_N), changed_NCHW, x_NCHW)
        return x_NCHW.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def refuse_host_only(transforms: Transforms) -> None:
    """Raises ValueError for a transform or an argument that only albumentations has."""
    for transform in transforms:
        _step(build_transform(transform, size=32))


def _seed(*numbers: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:7], "big")


def _step(transform: Any) -> Step:
    name = type(transform).__name__
    if name not in _KERNELS:
        raise ValueError(
            f"transform {name} has no version for the device; expected one of "
            f"{sorted(_KERNELS)}, or augmentation: host"
        )
    kernel, understood = _KERNELS[name]
    arguments = transform.to_dict()["transform"]
    needed = {"size": transform.size} if name == "RandomResizedCrop" else {}
    usual = type(transform)(**needed).to_dict()["transform"]
    for argument, value in arguments.items():
        if argument not in ("p", *understood.split()) and value != usual[argument]:
            raise ValueError(
                f"transform {name} has no argument {argument} on the device; expected "
                f"{usual[argument]!r}, or augmentation: host"
            )
    _check_fill(name, arguments)
    return Step(kernel, arguments)


def _check_fill(name: str, arguments: Arguments) -> None:
    fill = arguments.get("fill", 0.0)
    if not isinstance(fill, int | float):
        raise ValueError(f"transform {name} fills with {fill!r}; expected a number on the device")


# By class, with the arguments that are understood; the others must be as they are unless said.
_KERNELS: dict[str, tuple[Kernel, str]] = {
    "HorizontalFlip": (on_device.flip_across, ""),
    "VerticalFlip": (on_device.flip_down, ""),
    "RandomResizedCrop": (on_device.crop, "scale ratio size"),
    "Affine": (on_device.warp, "rotate scale shear translate_px translate_percent fill"),
    "ColorJitter": (on_device.jitter, "brightness contrast saturation hue"),
    "RandomBrightnessContrast": (on_device.scale_values, "brightness_limit contrast_limit"),
    "ToGray": (on_device.to_grey, ""),
    "GaussianBlur": (on_device.blur, "sigma_limit"),
    "GaussNoise": (on_device.add_noise, "std_range mean_range"),
    "CoarseDropout": (
        on_device.drop_boxes,
        "num_holes_range hole_height_range hole_width_range fill",
    ),
}
