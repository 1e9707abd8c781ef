"""Augmentation policies: lists of albumentations transforms, and repeatable draws from them."""

import inspect
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, Self

import albumentations as A
import numpy as np
from pydantic import Field, model_validator

from tasks.core.params import Section


class Transform(Section):
    """An albumentations transform by its class name, with its arguments.

    A transform that wants the output size is given the canonical one.
    """

    name: str
    arguments: dict[str, Any]

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        build_transform(self, size=32)
        return self


Transforms = Annotated[list[Transform], Field(max_length=30)]


def build_transform(transform: Transform, size: int) -> A.BasicTransform:
    """Raises ValueError for a name or an argument that albumentations does not know."""
    kind = getattr(A, transform.name, None)
    if not (isinstance(kind, type) and issubclass(kind, A.BasicTransform)):
        raise ValueError(f"albumentations has no transform {transform.name!r}")
    arguments = dict(transform.arguments)
    if "size" in inspect.signature(kind.__init__).parameters:
        arguments.setdefault("size", (size, size))
    with warnings.catch_warnings():
        # It only warns about an argument that it does not know, and goes on without it.
        warnings.simplefilter("error")
        try:
            return kind(**arguments)
        except Exception as error:
            raise ValueError(f"{transform.name}: {error}") from error


def build_policy(transforms: Sequence[Transform], size: int) -> A.Compose:
    return A.Compose([build_transform(transform, size) for transform in transforms])


def load_policy(serialised: dict[str, Any]) -> A.Compose:
    """The policy that `albumentations.to_dict` serialised."""
    policy = A.from_dict(serialised)
    assert isinstance(policy, A.Compose)
    return policy


def augment_batch(
    policy: A.Compose, images_NHWC: np.ndarray, seed: int, epoch: int, batch: int
) -> np.ndarray:
    """Augments a batch; the draws come from (seed, epoch, batch) alone.

    uint8 (N, H, W, C) → uint8 (N, H, W, C).
    """
    draw = np.random.SeedSequence([seed, epoch, batch]).generate_state(1)[0]
    policy.set_random_seed(int(draw))
    augmented = [policy(image=image)["image"] for image in images_NHWC]
    return np.stack(augmented).reshape(images_NHWC.shape)
