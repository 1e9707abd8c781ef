"""What is fed hangs on no number of workers, and images go to them by the name of their folder."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch

from benchmarks.lessons import AugmentedImages
from tasks.artifacts.images import Images, save_pixels
from tasks.core.batches import Part, parts_of, shuffled_batches
from tasks.feeding import feed, on_device, spare_cores

POLICY = A.Compose([A.RandomResizedCrop((8, 8)), A.GaussNoise(p=0.5)])


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Images:
    folder: Path = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in "ab":
        save_pixels(rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8), folder / f"{name}.npy")
    return Images(folder)


def parts() -> Iterator[Part]:
    for epoch in (1, 2):
        for batch in shuffled_batches(np.arange(40), 16, 0, epoch):
            yield from parts_of(batch, epoch, 2)


def fed(images: Images, num_workers: int) -> list[tuple[bytes, ...]]:
    source = AugmentedImages(images, np.arange(40), POLICY, 7)
    stream = feed(source, parts, num_workers, torch.device("cpu"))
    return [
        (repr(part).encode(), *(tensor.numpy().tobytes() for tensor in tensors))
        for part, tensors in stream
    ]


def test_any_number_of_workers_feeds_the_same(images):
    torch.manual_seed(0)
    alone = fed(images, 0)
    assert len(alone) == len(set(alone)) == 12
    state = torch.get_rng_state()
    assert fed(images, 2) == alone
    assert torch.equal(torch.get_rng_state(), state)


def test_images_travel_as_the_name_of_their_folder(images):
    sent = pickle.dumps(images)
    assert len(sent) < 1000
    rows = np.array([39, 0, 21])
    assert (pickle.loads(sent)[rows] == images[rows]).all()


def test_workers_have_the_cores_that_the_training_leaves(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    assert [spare_cores(threads) for threads in (1, 2, 10, 16, 20)] == [8, 8, 6, 0, 0]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert [spare_cores(threads) for threads in (1, 2, 4)] == [3, 2, 0]


def test_on_a_cpu_images_stay_in_their_files(images):
    assert on_device(images, torch.device("cpu")) is None


@pytest.mark.needs("cuda")
def test_a_device_with_room_holds_all_images(images):
    held = on_device(images, torch.device("cuda"))
    assert held is not None and held.dtype == torch.uint8
    assert (held.cpu().numpy() == images[np.arange(40)]).all()
