"""Augmentation is drawn from (seed, epoch, batch) alone, and a typo in a policy is refused."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import albumentations as A
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.core.errors import ParamsError
from tasks.core.policy import (
    Transform,
    Transforms,
    augment_batch,
    build_alone,
    build_policy,
    build_transform,
    load_policy,
)
from tasks.core.presets import PRESETS

TRANSFORMS = [
    {"name": "RandomResizedCrop", "arguments": {"scale": [0.5, 1.0]}},
    {"name": "Affine", "arguments": {"rotate": [-15, 15], "p": 0.8}},
    {"name": "GaussNoise", "arguments": {"std_range": [0.02, 0.1], "p": 0.5}},
]


def policy(transforms=TRANSFORMS, size: int = 12) -> A.Compose:
    return build_policy([Transform(**each) for each in transforms], (size, size, 3))


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


def test_draws_of_an_image_hang_on_its_place_and_on_no_other_image(images):
    whole = augment_batch(policy(), images, 1, 2, 3)
    for places in ([0, 1, 2], [3, 4, 5], [5], [4, 1]):
        chosen = np.array(places)
        part = augment_batch(policy(), images[chosen], 1, 2, 3, chosen)
        assert (part == whole[chosen]).all()


def batches_of_a_worker(serialised: dict, batches: list[tuple[int, int]]) -> list[bytes]:
    worker = load_policy(serialised)
    images = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 3), dtype=np.uint8)
    return [augment_batch(worker, images, 5, epoch, batch).tobytes() for epoch, batch in batches]


def test_draws_do_not_hang_on_how_batches_are_spread_over_processes():
    serialised = json.loads(json.dumps(A.to_dict(policy())))
    batches = [(epoch, batch) for epoch in range(3) for batch in range(5)]
    alone = dict(zip(batches, batches_of_a_worker(serialised, batches), strict=True))
    assert len(set(alone.values())) == len(batches)
    shares = [batches[::3], [*batches[1::3], *batches[2::3]][::-1]]
    # Spawned, so that no worker inherits the state of this process.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        found = list(pool.map(batches_of_a_worker, [serialised] * 2, shares))
    assert found == [[alone[batch] for batch in share] for share in shares]


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


def parse(value) -> list[Transform]:
    return TypeAdapter(Transforms).validate_python(value, strict=True)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("shape", [(16, 16, 1), (16, 16, 3), (33, 33, 3)])
def test_a_preset_is_its_list_and_fits_grey_and_colour(name, shape):
    transforms = parse(name)
    assert transforms == parse(PRESETS[name])
    images = np.random.default_rng(0).integers(0, 256, (24, *shape), dtype=np.uint8)
    augmented = augment_batch(build_policy(transforms, shape), images, 0, 0, 0)
    assert augmented.shape == images.shape
    assert (augmented != images).any(axis=(1, 2, 3)).sum() >= 12


@pytest.mark.parametrize("value", ["lite", "", "Digits", None, {"name": "HorizontalFlip"}])
def test_what_is_neither_a_preset_nor_a_list_is_refused(value):
    with pytest.raises(ValidationError, match=r"no preset|valid list"):
        parse(value)


def test_alone_a_transform_is_always_applied(images):
    never = Transform(name="VerticalFlip", arguments={"p": 0.0})
    assert (augment_batch(build_alone(never, 12), images, 0, 0, 0) == images[:, ::-1]).all()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Resize", {"height": 8, "width": 8}, r"turns uint8 \(12, 12, 3\) into uint8 \(8, 8, 3\)"),
        ("Normalize", {}, "into float32"),
        ("RandomCrop", {"height": 40, "width": 40}, "RandomCrop fails on images of shape"),
    ],
)
def test_a_transform_that_does_not_fit_the_images_is_refused(name, arguments, message):
    with pytest.raises(ParamsError, match=message):
        policy([{"name": name, "arguments": arguments}])


def shifted(share: float, axis: str, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A soft blob, and where a shift by exactly this share puts it."""
    bounds = {"x": [0.0, 0.0], "y": [0.0, 0.0], axis: [share, share]}
    move = Transform(name="Affine", arguments={"translate_percent": bounds, "p": 1.0})
    y, x = np.mgrid[:size, :size]
    centre = (size - 1) / 2
    blob = 255 * np.exp(-((x - centre) ** 2 + (y - centre) ** 2) / (size / 4) ** 2)
    moved = build_policy([move], (size, size, 1))(image=blob.astype(np.uint8)[..., None])["image"]
    return blob, moved[..., 0].astype(float)


@pytest.mark.parametrize("size", [8, 16, 32])
@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("share", [-0.06, 0.03, 0.06, 0.15])
def test_a_shift_moves_as_far_as_it_says_at_any_size(share, axis, size):
    centres = [
        (np.indices(image.shape)["yx".index(axis)] * image).sum() / image.sum()
        for image in shifted(share, axis, size)
    ]
    assert centres[1] - centres[0] == pytest.approx(share * size, abs=0.1 + 0.01 * size)


def test_shifts_by_whole_pixels_are_albumentations_own():
    arguments = {"translate_px": [-3, 3], "rotate": [-20, 20], "shear": [-5, 5], "p": 0.7}
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    ours, theirs = (
        A.Compose([made])
        for made in (
            build_transform(Transform(name="Affine", arguments=arguments), 16),
            A.Affine(**arguments),
        )
    )
    for seed in range(20):
        ours.set_random_seed(seed)
        theirs.set_random_seed(seed)
        assert (ours(image=image)["image"] == theirs(image=image)["image"]).all()


def test_the_digits_preset_shifts_small_images():
    (affine, *_) = TypeAdapter(Transforms).validate_python("digits")
    still = {**affine.arguments, "rotate": 0, "scale": 1, "shear": 0, "p": 1.0}
    shift = build_policy([affine.model_copy(update={"arguments": still})], (16, 16, 1))
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 1), dtype=np.uint8)
    moved = [(augment_batch(shift, image, 0, 0, draw) != image).any() for draw in range(50)]
    assert all(moved)
    restored = load_policy(json.loads(json.dumps(A.to_dict(shift))))
    for draw in range(5):
        assert (
            augment_batch(restored, image, 1, 0, draw) == augment_batch(shift, image, 1, 0, draw)
        ).all()
