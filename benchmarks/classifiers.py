"""Classifiers as the stage finetune teaches them, and how often they are right on test images.

N images, K classes
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.few_labels import CPU, Data
from benchmarks.pictures import CIFAR10_PRETRAIN, NUM_CLASSES
from benchmarks.record import ROOT
from benchmarks.workspace import temporary_folder
from tasks import finetune
from tasks.artifacts.documents import load_yaml
from tasks.artifacts.embeddings import Synthetic
from tasks.artifacts.images import Images, save_pixels
from tasks.core.encoder import Classifier, Encoder
from tasks.core.inference import Place, run_net
from tasks.core.mixing import Mixing
from tasks.core.policy import Transform, build_policy
from tasks.core.probe import NoProbe
from tasks.heads import probe_head
from tasks.labelled import Labelled
from tasks.learning import Entry

NOBODY = np.empty(0, dtype=np.int64)
NO_PROBE = {"name": "none"}
RESNET_20 = CIFAR10_PRETRAIN["architecture"] | {"width": 16, "depth": 3}
_NOTHING_MADE_UP = Synthetic(np.empty((0, 1), np.float32), np.empty(0, str))


class Ground(NamedTuple):
    """Images of train, val and test one after the other, the rows of each, and true classes."""

    pixels: Images
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    codes_N: np.ndarray
    precision: str

    def labelled(
        self,
        rows: np.ndarray,
        augmentation: list[Transform],
        codes_N: np.ndarray | None = None,
        weights_N: np.ndarray | None = None,
    ) -> Labelled:
        """What is learnt from `rows` (with repeats), by the true classes and all weighing the same
        unless others are given."""
        codes = self.codes_N if codes_N is None else codes_N
        weights = np.ones(len(codes)) if weights_N is None else weights_N
        return Labelled(
            self.pixels,
            rows=rows,
            val=self.val,
            codes=codes.astype(np.int64),
            weights=weights.astype(np.float32),
            classes=[str(code) for code in range(NUM_CLASSES)],
            counts=np.bincount(codes[rows], minlength=NUM_CLASSES),
            policy=build_policy(augmentation, self.pixels.image_shape),
            mixing=Mixing(mixup_alpha=0.0, cutmix_alpha=0.0),
        )

    def classes(self, net: Classifier, rows: np.ndarray) -> np.ndarray:
        """What the net says of the images at `rows`."""
        return run_net(net, self.pixels, rows, CPU, self.precision).argmax(axis=1)

    def accuracy(self, net: Classifier, rows: np.ndarray) -> float:
        return float((self.classes(net, rows) == self.codes_N[rows]).mean())


@contextmanager
def on_disk(data: Data) -> Iterator[Ground]:
    parts = (data.train, data.val, data.test)
    ends = np.cumsum([0, *(len(part.labels_N) for part in parts)])
    with temporary_folder() as folder:
        save_pixels(np.concatenate([part.images_NHWC for part in parts]), folder / "images.npy")
        train, val, test = (np.arange(*pair) for pair in pairwise(ends))
        codes_N = np.concatenate([part.labels_N for part in parts])
        yield Ground(Images(folder), train, val, test, codes_N, data.precision)


class Taught(NamedTuple):
    """The net of the last epoch, and of the one with the least calibrated val loss."""

    last: Classifier
    chosen: Classifier
    chosen_epoch: int


def params_of(epochs: int, **changed: Any) -> finetune.Params:
    """Those of the project but for what is changed; all epochs are taught."""
    section = load_yaml(ROOT / "params.yaml")["finetune"]
    return finetune.Params.model_validate(
        section | {"epochs": epochs, "patience": max(1, epochs)} | changed
    )


def loss(name: str, **settings: Any) -> dict[str, Any]:
    """A part of these params."""
    return {"loss": {"name": name, "label_smoothing": 0.0, **settings}}


def teach(
    encoder: Encoder,
    ground: Ground,
    given: Labelled,
    params: finetune.Params,
    seed: int,
    unlabelled: np.ndarray = NOBODY,
) -> Taught:
    """From the encoder as it is, which stays so, and a fresh head or the one that a probe gives."""
    torch.manual_seed(seed)
    place = Place(CPU, ground.precision)
    classifier = Classifier(copy.deepcopy(encoder), NUM_CLASSES, params.dropout)
    if not isinstance(params.probe, NoProbe):
        probe_head(classifier, given, _NOTHING_MADE_UP, params.probe, place)
    training = finetune.finetune(classifier, given, unlabelled, params, place, seed)
    last: list[Classifier] = []

    def watch(entry: Entry) -> None:
        if entry["epoch"] == params.epochs:
            net = training.optimisation.judged_net
            assert isinstance(net, Classifier)
            last.append(copy.deepcopy(net))

    training.run(watch)
    return Taught(last[0], classifier, training.best["epoch"])
