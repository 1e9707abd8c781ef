"""The head learns from made-up embeddings as from those of rows."""

import albumentations as A
import numpy as np
import torch

from tasks.artifacts.embeddings import Synthetic
from tasks.artifacts.images import Images, save_pixels
from tasks.core.encoder import Architecture, Classifier, Encoder
from tasks.core.inference import run_net
from tasks.core.probe import fit_head
from tasks.finetune import Lesson, Params, Place, probe

CLASSES = ["a", "b", "c"]
CPU = Place(torch.device("cpu"), "float32", 0)
PARAMS = Params(
    initialisation="pretrained",
    probe_steps=100,
    probe_penalty=0.01,
    epochs=0,
    warmup_epochs=0,
    patience=1,
    batch_size=2,
    learning_rate=0.1,
    weight_decay=0.0,
    dropout=0.0,
    label_smoothing=0.0,
)


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
    )
    architecture = Architecture(width=4, depth=1, num_stages=1, activation="relu")
    classifier = Classifier(Encoder(architecture, [0.5], [0.3]), 4, 3, 0.0)
    probe(classifier, lesson, synthetic, CLASSES, PARAMS, CPU)
    return classifier, lesson


def test_the_head_is_fitted_to_rows_and_made_up_embeddings_together(tmp_path):
    made_up = np.random.default_rng(1).normal(size=(19, 4)).astype(np.float32) + 3
    synthetic = Synthetic(made_up, np.array(["c"] * 18 + ["a"]))
    classifier, lesson = taught(tmp_path / "i", synthetic)
    embeddings = run_net(
        classifier.encoder, lesson.pixels, np.arange(30), CPU.device, CPU.precision
    )
    expected = fit_head(
        torch.from_numpy(np.concatenate([embeddings, made_up])),
        torch.tensor([*lesson.codes, *[2] * 18, 0]),
        torch.tensor([*lesson.weights, *[1.0] * 19]),
        torch.tensor([21, 9, 19]) / 49,
        PARAMS.probe_penalty,
        PARAMS.probe_steps,
    )
    torch.testing.assert_close(classifier.head.weight.data, expected.weight_KD)
    torch.testing.assert_close(classifier.head.bias.data, expected.bias_K)
    predicted = classifier.head(torch.from_numpy(made_up[:18])).argmax(dim=1)
    assert (predicted == 2).all()


def test_without_any_the_head_is_that_of_the_rows(tmp_path):
    nothing = Synthetic(np.empty((0, 4), np.float32), np.empty(0, str))
    classifier, lesson = taught(tmp_path / "i", nothing)
    embeddings = run_net(
        classifier.encoder, lesson.pixels, np.arange(30), CPU.device, CPU.precision
    )
    expected = fit_head(
        torch.from_numpy(embeddings),
        torch.from_numpy(lesson.codes),
        torch.from_numpy(lesson.weights),
        torch.tensor([20, 9, 1]) / 30,
        PARAMS.probe_penalty,
        PARAMS.probe_steps,
    )
    torch.testing.assert_close(classifier.head.weight.data, expected.weight_KD)
