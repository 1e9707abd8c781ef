"""A model of CIFAR-10 as the stages of the project train it, and what it says of images that it has
never seen, as they are and changed.

N images, H height, W width, C channels, K classes
"""

import base64
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image

from benchmarks import workspace
from benchmarks.cells import Setting, say
from benchmarks.memory import remembered
from benchmarks.record import ROOT, fast_precision
from benchmarks.sources import link_or_copy
from monitoring.baseline import Baseline
from monitoring.params import load_params
from monitoring.preconditions import Model
from tasks.artifacts.models import load_classifier
from tasks.core.encoder import Classifier
from tasks.core.inference import run_net, softmax

# Given to the project, which divides them; the others are watched.
NUM_GIVEN = 20_000
PARAMS = {
    "run.precision": fast_precision(),
    "run.num_threads": 1,
    "clean.image_size": 32,
    "clean.channels": 3,
    "pretrain.architecture.width": 48,
    "pretrain.views": "ssl",
    "pretrain.epochs": 5,
    "pretrain.batch_size": 128,
    "augment.transforms": [
        {
            "name": "Affine",
            "arguments": {"translate_px": {"x": [-4, 4], "y": [-4, 4]}, "p": 1.0},
        },
        {"name": "HorizontalFlip", "arguments": {}},
    ],
    "finetune.optimiser.learning_rate": 0.002,
    "finetune.epochs": 40,
    "finetune.patience": 40,
    "split.test_fraction": 0.02,
}
NUM_REFERENCE = 10_000
MONITORING, _ = load_params(ROOT / "params.yaml")
CPU = torch.device("cpu")
NOON = pd.Timestamp("2026-01-01T12:00", tz="UTC")


class Seen(NamedTuple):
    """What a model says of images. `is_right_N` is unknown to whoever watches."""

    embeddings_ND: np.ndarray
    probabilities_NK: np.ndarray
    brightness_N: np.ndarray
    contrast_N: np.ndarray
    is_right_N: np.ndarray

    def take(self, rows: np.ndarray) -> "Seen":
        return Seen(*(one[rows] for one in self))


class Watched(NamedTuple):
    """The net, and the images that it was not given."""

    net: Classifier
    temperature: float
    model: Model
    images_NHWC: np.ndarray
    labels_N: np.ndarray

    def see(self, images_NHWC: np.ndarray, labels_N: np.ndarray) -> Seen:
        """A label of -1 is of no class of the model."""
        rows = np.arange(len(images_NHWC))
        embeddings_ND = run_net(self.net.encoder, images_NHWC, rows, CPU, "float32")
        with torch.inference_mode():
            logits_NK = self.net.head(torch.from_numpy(embeddings_ND)).double().numpy()
        probabilities_NK = softmax(logits_NK / self.temperature)
        grey_N = images_NHWC.reshape(len(rows), -1) / 255
        return Seen(
            embeddings_ND,
            probabilities_NK,
            grey_N.mean(axis=1),
            grey_N.std(axis=1),
            probabilities_NK.argmax(axis=1) == labels_N,
        )


def as_reference(seen: Seen, model: Model) -> pd.DataFrame:
    """With labels made up: right where the model was, and the next class where it was not."""
    codes_N = seen.probabilities_NK.argmax(axis=1)
    labels_N = np.where(seen.is_right_N, codes_N, (codes_N + 1) % len(model.classes))
    table = _columns(seen)
    table["label"] = np.array(model.classes, dtype=object)[labels_N]
    table["image_id"] = [f"{row:08d}" for row in range(len(table))]
    return table


def as_window(seen: Seen, model: Model) -> pd.DataFrame:
    table = _columns(seen)
    codes_N = seen.probabilities_NK.argmax(axis=1)
    return table.assign(
        prediction_id=[f"{row:08d}" for row in range(len(table))],
        predicted_at=pd.Series(NOON, table.index),
        model_sha256=model.sha256,
        predicted=np.array(model.classes, dtype=object)[codes_N],
        refused="",
        label=pd.Series(None, table.index, dtype="string"),
    )


def _columns(seen: Seen) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "embedding": list(seen.embeddings_ND),
            "probabilities": list(seen.probabilities_NK),
            "brightness": seen.brightness_N,
            "contrast": seen.contrast_N,
        }
    )


@cache
def list_cifar10(folder: Path) -> dict[str, list[Path]]:
    """All images by class, train and test together, mixed: parts of a class are alike."""
    rng = np.random.default_rng(0)
    found = {}
    for name in sorted(path.name for path in (folder / "train").iterdir()):
        paths = [
            path
            for split in ("train", "test")
            for path in sorted((folder / split / name).iterdir())
        ]
        found[name] = [paths[number] for number in rng.permutation(len(paths))]
    return found


_WATCHED: dict[tuple[str, int], Watched] = {}


def watched(setting: Setting) -> Watched:
    """Trained once, and kept for later runs of the same code."""
    assert setting.cifar10 is not None
    asked = str(setting.options.set), setting.options.num_given
    if asked not in _WATCHED:
        by_class = list_cifar10(setting.cifar10)
        share = setting.options.num_given // len(by_class)
        key = {"topic": "watched", "num_given": share, "set": asked[0], "params": PARAMS}
        weights = remembered(key, lambda: train(setting, by_class, share))
        with workspace.temporary_folder() as folder:
            (folder / "classifier.safetensors").write_bytes(base64.b64decode(weights))
            net, description = load_classifier(folder / "classifier.safetensors")
        rest = [(path, code) for code, name in enumerate(description.classes)
                for path in by_class[name][share:]]  # fmt: skip
        images_NHWC = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in rest])
        _WATCHED[asked] = Watched(
            net,
            getattr(description, "temperature", 1.0),
            Model("0" * 64, tuple(description.classes)),
            images_NHWC,
            np.array([code for _, code in rest]),
        )
    return _WATCHED[asked]


def train(setting: Setting, by_class: dict[str, list[Path]], share: int) -> str:
    """The weights that the stages leave, in base64."""
    say(f"training on {share * len(by_class):,} images of CIFAR-10")
    with workspace.temporary_folder() as folder:
        for name, paths in by_class.items():
            (folder / name).mkdir()
            for number, path in enumerate(paths[:share]):
                link_or_copy(path, folder / name / f"{number:05d}.jpg")
        root = setting.clones.new()
        sources = {"images": {"type": "folder", "root": str(folder)}}
        asked = dict(setting.options.set)
        workspace.set_params(root, {"ingest.sources": sources, **PARAMS, **asked})
        workspace.repro(root, "finetune")
        return base64.b64encode((root / "models/classifier.safetensors").read_bytes()).decode()


class Division(NamedTuple):
    """One draw: a baseline, what it was made of, and the rows that windows may be of."""

    baseline: Baseline
    reference: Seen
    rows: np.ndarray


_SEEN: dict[int, Seen] = {}


def seen_by(model: Watched) -> Seen:
    """All images as they are."""
    if id(model) not in _SEEN:
        _SEEN[id(model)] = model.see(model.images_NHWC, model.labels_N)
    return _SEEN[id(model)]


def divide(model: Watched, draw: int) -> Division:
    seen = seen_by(model)
    order = np.random.default_rng([draw, 0]).permutation(len(model.labels_N))
    half = len(order) // 2
    reference = seen.take(order[:half][:NUM_REFERENCE])
    table = as_reference(reference, model.model)
    return Division(Baseline(table, model.model, MONITORING, draw), reference, order[half:])
