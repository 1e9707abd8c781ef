"""A classifier learns from mixed images too, repeatably, and from plain ones as labels say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.artifacts.images import Images, save_pixels
from tasks.core.encoder import Architecture, Classifier, Encoder
from tasks.core.mixing import Mixing
from tasks.core.policy import build_policy
from tasks.finetune import Epoch, Lesson, Params, Place, finetune

PARAMS = Params(
    initialisation="scratch",
    probe_steps=0,
    probe_penalty=0.0,
    epochs=4,
    warmup_epochs=0,
    patience=4,
    batch_size=16,
    learning_rate=0.01,
    weight_decay=0.0,
    dropout=0.0,
    label_smoothing=0.1,
)
PLACE = Place(torch.device("cpu"), "float32", 0)


@pytest.fixture(scope="module")
def pixels(tmp_path_factory) -> Images:
    """120 images of three classes, which differ in brightness."""
    folder: Path = tmp_path_factory.mktemp("images")
    noise = np.random.default_rng(0).integers(0, 60, (120, 8, 8, 1), dtype=np.uint8)
    steps = 90 * (np.arange(120) % 3).astype(np.uint8)
    save_pixels(noise + steps[:, None, None, None], folder / "0.npy")
    return Images(folder)


def learn(pixels: Images, mixup_alpha: float, cutmix_alpha: float) -> list[Epoch]:
    lesson = Lesson(
        pixels,
        np.arange(90),
        np.arange(90, 120),
        np.arange(120) % 3,
        np.ones(120, dtype=np.float32),
        torch.full((3,), 1 / 3),
        build_policy([], pixels.image_shape),
        Mixing(mixup_alpha=mixup_alpha, cutmix_alpha=cutmix_alpha),
    )
    torch.manual_seed(0)
    architecture = Architecture(width=4, depth=1, num_stages=2, activation="relu")
    encoder = Encoder(architecture, [0.5], [0.25])
    classifier = Classifier(encoder, architecture.embedding_width, 3, 0.0)
    return list(finetune(classifier, lesson, PARAMS, PLACE))


@pytest.mark.parametrize("alphas", [(0.0, 0.0), (0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_it_learns_repeatably_with_what_is_mixed(pixels, alphas):
    epochs = learn(pixels, *alphas)
    assert epochs == learn(pixels, *alphas)
    assert [epoch.epoch for epoch in epochs] == [0, 1, 2, 3, 4]
    assert epochs[0].val_balanced_accuracy < 0.7 < max(e.val_balanced_accuracy for e in epochs)
    assert epochs[-1].val_loss < epochs[0].val_loss


def test_mixtures_are_harder_to_fit(pixels):
    plain = learn(pixels, 0.0, 0.0)[-1].train_loss
    for alphas in ((1.0, 0.0), (0.0, 1.0)):
        assert learn(pixels, *alphas)[-1].train_loss > plain
