"""Augmentation is drawn from (seed, epoch, batch) alone, and a typo in a policy is refused."""

import json

import albumentations as A
import numpy as np
import pytest
from pydantic import ValidationError

from tasks.core.policy import Transform, augment_batch, build_policy, build_transform, load_policy

TRANSFORMS = [
    {"name": "RandomResizedCrop", "arguments": {"scale": [0.5, 1.0]}},
    {"name": "Affine", "arguments": {"rotate": [-15, 15], "p": 0.8}},
    {"name": "GaussNoise", "arguments": {"std_range": [0.02, 0.1], "p": 0.5}},
]


def policy(transforms=TRANSFORMS, size: int = 12) -> A.Compose:
    return build_policy([Transform(**each) for each in transforms], size)


@pytest.fixture(params=[1, 3])
def images(request):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (6, 12, 12, request.param), dtype=np.uint8)


def test_draws_hang_on_seed_epoch_and_batch_alone(images):
    first = augment_batch(policy(), images, 1, 2, 3)
    worn = policy()
    for draw in range(5):
        augment_batch(worn, images, 9, draw, draw)
    assert (augment_batch(worn, images, 1, 2, 3) == first).all()
    np.random.seed(4)
    assert (augment_batch(worn, images, 1, 2, 3) == first).all()
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (3, 2, 1)):
        assert (augment_batch(worn, images, *other) != first).any()


def test_shape_and_type_stay_and_the_images_given_too(images):
    before = images.copy()
    augmented = augment_batch(policy(), images, 0, 0, 0)
    assert augmented.shape == images.shape and augmented.dtype == np.uint8
    assert (augmented != images).any()
    assert (images == before).all()


def test_images_of_a_batch_are_drawn_apart(images):
    same = np.repeat(images[:1], 6, axis=0)
    augmented = augment_batch(policy(), same, 0, 0, 0)
    assert len({image.tobytes() for image in augmented}) == 6


def test_an_empty_policy_changes_nothing(images):
    assert (augment_batch(policy([]), images, 0, 0, 0) == images).all()


def test_a_serialised_policy_draws_the_same(images):
    serialised = json.loads(json.dumps(A.to_dict(policy())))
    loaded = load_policy(serialised)
    assert (
        augment_batch(loaded, images, 1, 2, 3) == augment_batch(policy(), images, 1, 2, 3)
    ).all()


def test_the_output_size_is_the_canonical_one_unless_said():
    crop = Transform(name="RandomResizedCrop", arguments={})
    assert build_transform(crop, 20).size == (20, 20)  # type: ignore[attr-defined]
    said = Transform(name="RandomResizedCrop", arguments={"size": [8, 8]})
    assert tuple(build_transform(said, 20).size) == (8, 8)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("HorizontalFlop", {}, "no transform 'HorizontalFlop'"),
        ("os", {}, "no transform 'os'"),
        ("Compose", {}, "no transform 'Compose'"),
        ("__name__", {}, "no transform"),
        ("HorizontalFlip", {"probability": 0.5}, "HorizontalFlip: .*probability"),
        ("HorizontalFlip", {"p": 2}, "HorizontalFlip: "),
        ("Affine", {"rotate": "far"}, "Affine: "),
        ("GaussNoise", {"std_range": [0.2, 9]}, "GaussNoise: "),
    ],
)
def test_an_unknown_transform_or_argument_is_refused(name, arguments, message):
    with pytest.raises(ValidationError, match=message):
        Transform(name=name, arguments=arguments)
