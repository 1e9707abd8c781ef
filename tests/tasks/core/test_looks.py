"""Looks at images, each beside what it says that it is."""

import numpy as np
import pytest
import torch

from tasks.core.encoder import Encoder
from tasks.core.inference import Place, run_net
from tasks.core.looks import look_at, quarter
from tests.nets import tiny, tiny_vit

CPU = Place(torch.device("cpu"), "float32")
LOOKS = ("whole", "quarters", "mirrored")
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), dtype=np.uint8)


def make_encoder(architecture) -> Encoder:
    torch.manual_seed(0)
    return Encoder(architecture, [0.5], [0.2], 16)


def seen_of(encoder, images=IMAGES, looks=LOOKS):
    return look_at(encoder, looks, images, len(images), CPU)


def test_the_whole_is_the_embedding():
    encoder = make_encoder(tiny())
    embeddings = run_net(encoder, IMAGES, np.arange(5), *CPU)
    for looks in (("whole",), LOOKS):
        assert seen_of(encoder, looks=looks)["whole"] == pytest.approx(embeddings, abs=1e-6)


def test_quarters_are_means_over_quarters_of_the_places():
    places = torch.arange(2 * 3 * 4 * 6, dtype=torch.float32).reshape(2, 3, 4, 6)
    quarters = quarter(places).reshape(2, 3, 2, 2)
    for row, column in np.ndindex(2, 2):
        part = places[:, :, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
        assert torch.allclose(quarters[:, :, row, column], part.mean(dim=(2, 3)))
    assert quarter(places[:, :, :1, :1]).shape == (2, 3)


def test_quarters_tell_where_and_the_whole_does_not():
    encoder = make_encoder(tiny())
    moved = np.roll(IMAGES, 8, axis=2)
    here, there = (seen_of(encoder, images)["quarters"].reshape(5, -1, 2, 2)
                   for images in (IMAGES, moved))  # fmt: skip
    # The two are not quite each other's, as the border is now in the middle.
    assert np.abs(here - there).mean() > 1.5 * np.abs(here - there[..., ::-1]).mean()


def test_an_image_and_its_mirror_image_are_mirrored_to_the_same():
    encoder = make_encoder(tiny())
    seen, mirrored = seen_of(encoder), seen_of(encoder, IMAGES[:, :, ::-1].copy())
    assert seen["mirrored"] == pytest.approx(mirrored["mirrored"], abs=1e-6)
    assert np.abs(seen["quarters"] - mirrored["quarters"]).max() > 1e-3
    assert seen["mirrored"] == pytest.approx(
        (seen["quarters"] + mirrored["quarters"]) / 2, abs=1e-6
    )


def test_a_net_without_places_sees_all_in_one():
    seen = seen_of(make_encoder(tiny_vit()))
    assert seen["quarters"] == pytest.approx(seen["whole"])
