"""The sheet shows each example beside its draws; the audit finds planted changes of class."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from tasks.artifacts.images import Images, save_pixels
from tasks.augment import Params, audit_policy, draw_sheet
from tasks.core.mixing import Mixing
from tasks.core.policy import Transform, build_policy

FLIP = [Transform(name="HorizontalFlip", arguments={"p": 1.0})]
SHIFT = [Transform(name="Affine", arguments={"translate_percent": [-0.3, 0.3], "p": 1.0})]


OFF = Mixing(mixup_alpha=0.0, cutmix_alpha=0.0)
GOOD = {
    "transforms": [{"name": "HorizontalFlip", "arguments": {}}],
    "mixup_alpha": 0.0,
    "cutmix_alpha": 0.0,
    "num_examples": 1,
    "num_draws": 1,
    "num_audited": 200,
    "num_neighbours": 5,
    "audit_floor": 0.1,
}


def sheet(transforms, images: np.ndarray, num_draws: int, mixing: Mixing = OFF) -> np.ndarray:
    policy = build_policy(transforms, images.shape[1:])
    data = draw_sheet(policy, mixing, images, num_draws, 0)
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
    policy = build_policy(SHIFT, images.shape[1:])
    assert draw_sheet(policy, OFF, images, 3, 1) == draw_sheet(policy, OFF, images, 3, 1)
    assert draw_sheet(policy, OFF, images, 3, 1) != draw_sheet(policy, OFF, images, 3, 2)


def test_draws_differ_from_one_another(images):
    drawn = sheet(SHIFT, images, 4)
    tiles = {drawn[:64, 68 * k + 8 : 68 * k + 72].tobytes() for k in range(1, 5)}
    assert len(tiles) == 4


def test_the_sheet_shows_what_is_mixed(images):
    mixing = Mixing(mixup_alpha=0.0, cutmix_alpha=1.0)
    drawn, plain = sheet([], images, 6, mixing), sheet([], images, 6)
    assert (drawn[:, :64] == plain[:, :64]).all()
    assert (drawn != plain).any()
    # Every tile of a mixed image is made of whole pixels of the originals.
    assert set(np.unique(drawn)) <= {*np.unique(images), 0, 255}


@pytest.mark.parametrize(
    "changed",
    [{"num_draws": 0}, {"num_examples": 0}, {"transforms": [{"name": "Flop", "arguments": {}}]},
     {"transforms": [{"name": "HorizontalFlip"}]}, {"transforms": "lite"},
     {"transforms": [{"name": "HorizontalFlip", "arguments": {}}] * 31},
     {"mixup_alpha": -1.0}, {"cutmix_alpha": "on"}, {"audit_floor": 1.0}, {"num_neighbours": 0}],
)  # fmt: skip
def test_other_params_are_refused(changed):
    Params.model_validate(GOOD)
    Params.model_validate({**GOOD, "transforms": "heavy"})
    with pytest.raises(ValidationError):
        Params.model_validate({**GOOD, **changed})


class Pixels(torch.nn.Module):
    """An encoder whose embeddings are the pixels themselves."""

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        return images_NHWC.float().flatten(1)


TOP, BOTTOM, RING = ((slice(0, 5), slice(1, 11)), (slice(7, 12), slice(1, 11)), slice(4, 8))


@pytest.fixture
def signs(tmp_path):
    """60 images a class, bright above, below or in the middle; and two without label."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 40, (182, 12, 12, 1), dtype=np.uint8)
    labels = np.repeat(["above", "below", "middle"], [61, 61, 60]).astype(object)
    for picture, label in zip(pictures, labels, strict=True):
        where = {"above": TOP, "below": BOTTOM, "middle": (RING, RING)}[label]
        picture[where] += 150
    labels[[60, 121]] = None
    save_pixels(pictures, tmp_path / "0.npy")
    return Images(tmp_path), pd.Series(labels, dtype="string")


def audited(signs, **changed) -> pd.DataFrame:
    pixels, labels = signs
    params = Params.model_validate({**GOOD, **changed})
    place = torch.device("cpu")
    rows = np.arange(len(pixels))
    return audit_policy(Pixels(), pixels, rows, labels, params, 0, "float32", place)  # type: ignore[arg-type]


def test_a_flip_that_swaps_classes_is_flagged_for_these_alone(signs):
    flips = [{"name": f"{way}Flip", "arguments": {"p": 0.1}} for way in ("Vertical", "Horizontal")]
    table = audited(signs, transforms=flips).set_index(["transform", "label"])
    vertical, horizontal = table.loc["VerticalFlip"], table.loc["HorizontalFlip"]
    assert vertical["in_policy"].all() and not table.loc["vertical flip"]["in_policy"].any()
    assert vertical.index.fillna("all").tolist() == ["all", "above", "below", "middle"]
    assert vertical["num_images"].tolist() == [180, 60, 60, 60]
    assert vertical.loc[["above", "below"], "changed_fraction"].tolist() == [1, 1]
    assert vertical.loc[["above", "below"], "is_flagged"].all()
    assert vertical.loc[["above", "below"], "looks_like"].tolist() == ["below", "above"]
    assert vertical.loc[["middle"], "changed_fraction"].tolist() == [0]
    assert vertical.loc[["middle"], "is_flagged"].tolist() == [False]
    assert (horizontal["difference"] == 0).all() and not horizontal["is_flagged"].any()
    assert (table["low"] <= table["difference"]).all() and (table["low"] < table["high"]).all()
    whole = table[table.index.get_level_values("label").isna()]
    assert whole.loc["vertical flip"]["is_flagged"].all()


def test_the_audit_tries_each_transform_alone_and_names_it_once(signs):
    shifts = [{"name": "Affine", "arguments": {"translate_px": [-n, n]}} for n in (1, 2)]
    table = audited(signs, transforms=shifts)
    titles = list(table["transform"].unique())
    assert titles[:2] == ["Affine", "Affine 2"] and "grey" not in titles
    assert table.groupby("transform", sort=False).size().eq(4).all()
    assert table.equals(audited(signs, transforms=shifts))
    fewer = audited(signs, num_audited=50)["num_images"].tolist()
    assert fewer[0] == 50 and sorted(fewer[1:4]) == [16, 17, 17]


def test_a_higher_floor_flags_less(signs):
    shear = [{"name": "Affine", "arguments": {"translate_px": {"x": [0, 0], "y": [0, 6]}}}]
    low, high = (audited(signs, transforms=shear, audit_floor=floor) for floor in (0.0, 0.9))
    assert low["is_flagged"].sum() > high["is_flagged"].sum()
    assert (low["is_flagged"] == (low["low"] > 0)).all()
