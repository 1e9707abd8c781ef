"""A classifier learns from mixed images and made-up embeddings too, and repeatably."""

from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch

from tasks.artifacts.embeddings import Synthetic
from tasks.artifacts.images import Images, save_pixels
from tasks.core.encoder import Classifier, Encoder
from tasks.core.inference import run_net
from tasks.core.mixing import Mixing
from tasks.core.policy import build_policy
from tasks.core.probe import fit_head
from tasks.finetune import Epoch, Lesson, Params, Place, finetune, probe
from tests.nets import tiny

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
    architecture = tiny()
    encoder = Encoder(architecture, [0.5], [0.25], 8)
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


CLASSES = ["a", "b", "c"]
PROBED = PARAMS.model_copy(update={"probe_steps": 100, "probe_penalty": 0.01})


def taught(folder, synthetic: Synthetic) -> tuple[Classifier, Lesson]:
    torch.manual_seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 1), dtype=np.uint8)
    folder.mkdir(exist_ok=True)
    save_pixels(pixels, folder / "a.npy")
    codes = np.repeat([0, 1, 2], [20, 9, 1])
    lesson = Lesson(
        Images(folder),
        rows=np.array([*range(30), 29, 29]),
        val=np.arange(3),
        codes=codes,
        weights=np.linspace(0.1, 1, 30, dtype=np.float32),
        priors=torch.ones(3) / 3,
        policy=A.Compose([]),
        mixing=Mixing(mixup_alpha=0.0, cutmix_alpha=0.0),
    )
    architecture = tiny(num_stages=1)
    classifier = Classifier(Encoder(architecture, [0.5], [0.3], 8), 4, 3, 0.0)
    probe(classifier, lesson, synthetic, CLASSES, PROBED, PLACE)
    return classifier, lesson


def test_the_head_is_fitted_to_rows_and_made_up_embeddings_together(tmp_path):
    made_up = np.random.default_rng(1).normal(size=(19, 4)).astype(np.float32) + 3
    synthetic = Synthetic(made_up, np.array(["c"] * 18 + ["a"]))
    classifier, lesson = taught(tmp_path / "i", synthetic)
    embeddings = run_net(
        classifier.encoder, lesson.pixels, np.arange(30), PLACE.device, PLACE.precision
    )
    expected = fit_head(
        torch.from_numpy(np.concatenate([embeddings, made_up])),
        torch.tensor([*lesson.codes, *[2] * 18, 0]),
        torch.tensor([*lesson.weights, *[1.0] * 19]),
        torch.tensor([21, 9, 19]) / 49,
        PROBED.probe_penalty,
        PROBED.probe_steps,
    )
    torch.testing.assert_close(classifier.head.weight.data, expected.weight_KD)
    torch.testing.assert_close(classifier.head.bias.data, expected.bias_K)
    predicted = classifier.head(torch.from_numpy(made_up[:18])).argmax(dim=1)
    assert (predicted == 2).all()


def test_without_any_the_head_is_that_of_the_rows(tmp_path):
    nothing = Synthetic(np.empty((0, 4), np.float32), np.empty(0, str))
    classifier, lesson = taught(tmp_path / "i", nothing)
    embeddings = run_net(
        classifier.encoder, lesson.pixels, np.arange(30), PLACE.device, PLACE.precision
    )
    expected = fit_head(
        torch.from_numpy(embeddings),
        torch.from_numpy(lesson.codes),
        torch.from_numpy(lesson.weights),
        torch.tensor([20, 9, 1]) / 30,
        PROBED.probe_penalty,
        PROBED.probe_steps,
    )
    torch.testing.assert_close(classifier.head.weight.data, expected.weight_KD)
