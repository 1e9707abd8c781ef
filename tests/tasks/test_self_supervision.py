"""All that a method remembers is in its checkpoint: queues, teachers, and where momentum stands."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.artifacts.checkpoints import Checkpoints
from tasks.artifacts.images import Images
from tasks.core.encoder import Encoder
from tasks.core.yardstick import Yardstick
from tasks.learning import Training
from tasks.pretrain import Params, pretrain
from tests.nets import tiny
from tests.tasks.test_pretrain import ARCHITECTURES, METHODS, RUN, make_data, section_of


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Images:
    return Images(make_data(tmp_path_factory.mktemp("data") / "d") / "images")


def train(
    images: Images, method: str, checkpoints: Checkpoints | None = None, **changed: Any
) -> Training:
    torch.manual_seed(0)
    encoder = Encoder(ARCHITECTURES.get(method, tiny()), [0.5], [0.25], 8)
    few, codes = np.arange(60), np.arange(60) % 4
    section = section_of(method) | changed
    yardstick = Yardstick(few, codes, few + 100, codes)
    params = Params.model_validate(section)
    return pretrain(encoder, images, np.arange(160), yardstick, params, RUN, checkpoints)


@pytest.mark.parametrize("method", METHODS)
def test_what_goes_on_ends_with_the_same_bytes(images, tmp_path: Path, monkeypatch, method):
    class Interrupted(Exception):
        pass

    def interrupt(entry: dict[str, Any]) -> None:
        if entry["epoch"] == 2:
            raise Interrupted

    whole = train(images, method)
    history = whole.run()
    monkeypatch.setenv("TILTH_CHECKPOINT_SECONDS", "0")
    checkpoints = Checkpoints({}, tmp_path)
    with pytest.raises(Interrupted):
        train(images, method, checkpoints).run(interrupt)
    again = train(images, method, checkpoints)
    assert again.run() == history
    for name, value in whole.lesson.state_dict().items():
        assert torch.equal(again.lesson.state_dict()[name], value), name
    assert again.num_seen < whole.num_seen


@pytest.mark.parametrize("changed", [{"augmentation": "device"}, {"num_accumulated": 2}])
def test_it_learns_otherwise_but_as_well(images, changed):
    usual, found = (train(images, "simclr", **each).run() for each in ({}, changed))
    assert [entry["loss"] for entry in found] != [entry["loss"] for entry in usual]
    assert found[-1]["loss"] < found[1]["loss"]
    assert found[-1]["knn_accuracy"] > 0.9


def test_a_method_is_told_how_far_the_training_is(images):
    """By which BYOL's momentum rises."""
    training = train(images, "byol", epochs=2)
    told: list[float] = []
    net: Any = training.lesson.net
    net.end_step = told.append
    training.run()
    assert told == pytest.approx([step / 10 for step in range(1, 11)])
