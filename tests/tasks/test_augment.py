"""The sheet shows each example beside its draws, and is the same for the same seed."""

import io

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from tasks.augment import Params, draw_sheet
from tasks.core.policy import Transform, build_policy

FLIP = [Transform(name="HorizontalFlip", arguments={"p": 1.0})]
SHIFT = [Transform(name="Affine", arguments={"translate_percent": [-0.3, 0.3], "p": 1.0})]


def sheet(transforms, images: np.ndarray, num_draws: int, seed: int = 0) -> np.ndarray:
    data = draw_sheet(build_policy(transforms, 8), images, num_draws, seed)
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.fixture(params=[1, 3])
def images(request):
    return np.random.default_rng(0).integers(0, 200, (3, 8, 8, request.param), dtype=np.uint8)


def test_originals_stand_at_the_left_and_draws_beside_them(images):
    drawn = sheet(FLIP, images, 2)
    assert drawn.shape == (3 * 68, 3 * 68 + 8, 3)
    for row, image in enumerate(images):
        original = np.broadcast_to(image, (8, 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
        top = row * 68
        assert (drawn[top : top + 64, :64] == original).all()
        for left in (68 + 8, 2 * 68 + 8):
            assert (drawn[top : top + 64, left : left + 64] == original[:, ::-1]).all()
        assert (drawn[top + 64 : top + 68] == 255).all()


def test_bytes_hang_on_the_seed(images):
    policy = build_policy(SHIFT, 8)
    assert draw_sheet(policy, images, 3, 1) == draw_sheet(policy, images, 3, 1)
    assert draw_sheet(policy, images, 3, 1) != draw_sheet(policy, images, 3, 2)


def test_draws_differ_from_one_another(images):
    drawn = sheet(SHIFT, images, 4)
    tiles = {drawn[:64, 68 * k + 8 : 68 * k + 72].tobytes() for k in range(1, 5)}
    assert len(tiles) == 4


@pytest.mark.parametrize(
    "changed",
    [{"num_draws": 0}, {"num_examples": 0}, {"transforms": [{"name": "Flop", "arguments": {}}]},
     {"transforms": [{"name": "HorizontalFlip"}]},
     {"transforms": [{"name": "HorizontalFlip", "arguments": {}}] * 31}],
)  # fmt: skip
def test_other_params_are_refused(changed):
    good = {
        "transforms": [{"name": "HorizontalFlip", "arguments": {}}],
        "num_examples": 1,
        "num_draws": 1,
    }
    Params.model_validate(good)
    with pytest.raises(ValidationError):
        Params.model_validate({**good, **changed})
