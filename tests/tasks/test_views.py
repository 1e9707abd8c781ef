"""Views hang on an image's place in its batch alone, on either side; on the host they are those of
`augment_batch`."""

from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch

from tasks.artifacts.images import Images, save_pixels
from tasks.core.batches import Batch, parts_of
from tasks.core.errors import ParamsError
from tasks.core.policy import augment_batch
from tasks.lesson import Where
from tasks.views import make_views

CPU, SEED, EPOCH, NUMBER = torch.device("cpu"), 4, 2, 3
POLICY = A.Compose([A.HorizontalFlip(p=0.5), A.GaussNoise(p=0.5)])
ROWS = np.array([5, 17, 2, 2, 11, 8, 19])
sides = pytest.mark.parametrize("where", ["host", "device"])


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Images:
    folder: Path = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    save_pixels(rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8), folder / "a.npy")
    return Images(folder)


def drawn(images: Images, where: Where, num_views: int, num_parts: int = 1) -> list[np.ndarray]:
    """Each view of the whole batch, from its parts."""
    views = make_views(images, POLICY, num_views, SEED, where, CPU)
    parts = parts_of(Batch(NUMBER, ROWS), EPOCH, num_parts)
    found = [
        views.draw(part, *(torch.from_numpy(array) for array in views.source(part)))
        for part in parts
    ]
    return [torch.cat(view).numpy() for view in zip(*found, strict=True)]


@sides
@pytest.mark.parametrize("num_views", [1, 2])
def test_parts_have_the_views_of_the_batch(images, where, num_views):
    whole, parts = (drawn(images, where, num_views, num_parts) for num_parts in (1, 3))
    assert len(whole) == num_views
    for one, other in zip(whole, parts, strict=True):
        assert one.dtype == np.uint8 and one.shape == (7, 8, 8, 3)
        np.testing.assert_array_equal(one, other)


@sides
def test_views_differ_and_so_do_two_of_one_image(images, where):
    first, second = drawn(images, where, 2)
    assert (first != second).any()
    # Rows 2 and 3 of the batch are one image.
    assert any((view[2] != view[3]).any() for view in (first, second))


def test_on_the_host_they_are_what_albumentations_draws(images):
    (one,) = drawn(images, "host", 1)
    np.testing.assert_array_equal(one, augment_batch(POLICY, images[ROWS], SEED, EPOCH, NUMBER))
    for view, found in enumerate(drawn(images, "host", 2)):
        expected = augment_batch(POLICY, images[ROWS], SEED, EPOCH, 2 * NUMBER + view)
        np.testing.assert_array_equal(found, expected)


def test_what_the_device_cannot_draw_is_refused_by_name(images):
    with pytest.raises(ParamsError, match="Posterize"):
        make_views(images, A.Compose([A.Posterize()]), 1, SEED, "device", CPU)
