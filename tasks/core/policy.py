"""Augmentation policies: lists of albumentations transforms, and repeatable draws from them.

N images, H height, W width, C channels
"""

import inspect
import random
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, Self

import albumentations as A
import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from tasks.core.errors import ParamsError
from tasks.core.params import Section
from tasks.core.presets import PRESETS


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


def _preset(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in PRESETS:
        raise ValueError(f"no preset {value!r}; expected one of {sorted(PRESETS)}, or a list")
    return PRESETS[value]


class Affine(A.Affine):
    """Moves by fractions of a pixel: albumentations cuts what `translate_percent` comes to to whole
    pixels, so that 6 % of 16 pixels would move nothing."""

    def _get_translate_params(self, image_shape: tuple[int, int]) -> dict[str, float]:  # type: ignore[override]
        if self.translate_percent is None:
            return super()._get_translate_params(image_shape)  # type: ignore[return-value]
        sides = {"x": image_shape[1], "y": image_shape[0]}
        shares = {
            axis: self.py_random.uniform(*bounds) for axis, bounds in self.translate_percent.items()
        }
        return {axis: share * sides[axis] for axis, share in shares.items()}


_OWN: dict[str, type[A.BasicTransform]] = {"Affine": Affine}
# In params.yaml the name of a preset, or a list.
Transforms = Annotated[list[Transform], Field(max_length=30), BeforeValidator(_preset)]


def build_transform(transform: Transform, size: int) -> A.BasicTransform:
    """Raises ValueError for a name or an argument that albumentations does not know."""
    kind = _OWN.get(transform.name) or getattr(A, transform.name, None)
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


def build_policy(transforms: Sequence[Transform], image_shape: tuple[int, int, int]) -> A.Compose:
    """Raises ParamsError for a transform that does not give back uint8 images of this shape, as
    one that resizes, or wants colour where there is none."""
    for transform in transforms:
        _check_fit(transform, image_shape)
    return A.Compose([build_transform(transform, image_shape[0]) for transform in transforms])


def build_alone(transform: Transform, size: int) -> A.Compose:
    """A policy that applies one transform to every image, whatever its probability `p`."""
    always = transform.model_copy(update={"arguments": {**transform.arguments, "p": 1.0}})
    return A.Compose([build_transform(always, size)])


def _check_fit(transform: Transform, image_shape: tuple[int, int, int]) -> None:
    alone = build_alone(transform, image_shape[0])
    alone.set_random_seed(0)
    where = f"params.yaml: transform {transform.name}"
    image = np.zeros(image_shape, dtype=np.uint8)
    try:
        result = alone(image=image)["image"]
    except Exception as error:
        raise ParamsError(f"{where} fails on images of shape {image_shape}: {error}") from error
    if result.size != image.size or result.dtype != np.uint8:
        raise ParamsError(
            f"{where} turns uint8 {image_shape} into {result.dtype} {result.shape}; expected a "
            "transform that keeps shape and type"
        )


def load_policy(serialised: dict[str, Any]) -> A.Compose:
    """The policy that `albumentations.to_dict` serialised."""
    policy = A.from_dict(serialised)
    assert isinstance(policy, A.Compose)
    return policy


def augment_batch(
    policy: A.Compose,
    images_NHWC: np.ndarray,
    seed: int,
    epoch: int,
    batch: int,
    places_N: np.ndarray | None = None,
) -> np.ndarray:
    """Augments images of a batch; an image's draws come from (seed, epoch, batch) and its place in
    the batch (None: in order from 0), whichever other images are given.

    uint8 (N, H, W, C) → uint8 (N, H, W, C).
    """
    low, high = np.random.SeedSequence([seed, epoch, batch]).generate_state(2, np.uint64).tolist()
    philox, python_rng = np.random.Philox(key=[low, high]), random.Random()
    policy.set_random_state(np.random.Generator(philox), python_rng)
    # New generators for each image would cost as much as a flip and a crop do.
    state = philox.state
    places = range(len(images_NHWC)) if places_N is None else places_N.tolist()
    augmented = np.empty_like(images_NHWC)
    for number, place in enumerate(places):
        state["state"]["counter"][:] = (0, place, 0, 0)
        philox.state = state
        python_rng.seed((low << 64) + place)
        image = policy(image=images_NHWC[number])["image"]
        augmented[number] = image.reshape(images_NHWC.shape[1:])
    return augmented
