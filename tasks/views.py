"""What a net is shown of images: one or more augmented versions of each, made on the host, where
workers may do it beside the training, or in batches on the device that trains.

N images, H height, W width, C channels
"""

from typing import NamedTuple

import albumentations as A
import numpy as np
import torch
from torch import Tensor

from tasks.artifacts.images import Images
from tasks.core.batches import Part
from tasks.core.device_augmentation import DevicePolicy
from tasks.core.policy import augment_batch
from tasks.feeding import Source, on_device
from tasks.lesson import Where


class HostViews(NamedTuple):
    """By albumentations, an image at a time."""

    source: Source

    @property
    def reads_images(self) -> bool:
        """Whether `source` has any to bring."""
        return True

    def draw(self, part: Part, *given: Tensor) -> tuple[Tensor, ...]:
        return given


class DeviceViews:
    """In batches. `source` brings the images, or where the device holds them all their rows."""

    def __init__(
        self, images: Images, policy: A.Compose, num_views: int, seed: int, device: torch.device
    ):
        """Raises ParamsError for a transform or an argument that only albumentations has."""
        self._policy, self._num_views, self._seed = DevicePolicy(policy), num_views, seed
        self._held_NHWC = on_device(images, device)
        self.source: Source = _Read(images) if self._held_NHWC is None else _rows_of

    @property
    def reads_images(self) -> bool:
        """Whether `source` has any to bring."""
        return self._held_NHWC is None

    def draw(self, part: Part, *given: Tensor) -> tuple[Tensor, ...]:
        """The views, each uint8 (N, H, W, C), from what the source brought."""
        (brought,) = given
        images_NHWC = brought if self._held_NHWC is None else self._held_NHWC[brought]
        return tuple(
            self._policy.augment(
                images_NHWC, self._seed, part.epoch, draw, part.first, len(part.rows)
            )
            for draw in _draws(part, self._num_views)
        )


Views = HostViews | DeviceViews


def make_views(
    images: Images,
    policy: A.Compose,
    num_views: int,
    seed: int,
    where: Where,
    device: torch.device,
) -> Views:
    """Raises ParamsError for a policy that the device does not know, if it is to augment there."""
    if where == "device":
        return DeviceViews(images, policy, num_views, seed, device)
    return HostViews(_Augment(images, policy, num_views, seed))


class _Augment(NamedTuple):
    images: Images
    policy: A.Compose
    num_views: int
    seed: int

    def __call__(self, part: Part) -> tuple[np.ndarray, ...]:
        images_NHWC = self.images[part.own_rows]
        return tuple(
            augment_batch(self.policy, images_NHWC, self.seed, part.epoch, draw, part.places)
            for draw in _draws(part, self.num_views)
        )


class _Read(NamedTuple):
    images: Images

    def __call__(self, part: Part) -> tuple[np.ndarray, ...]:
        return (self.images[part.own_rows],)


def _rows_of(part: Part) -> tuple[np.ndarray, ...]:
    return (part.own_rows,)


def _draws(part: Part, num_views: int) -> range:
    """A number for each view, which no other batch of the epoch has."""
    return range(num_views * part.number, num_views * (part.number + 1))
