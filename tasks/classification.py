"""How a classifier is taught: labelled images, a loss, and what it is worth on val.

N images, K classes
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tasks.core.batches import Part
from tasks.core.calibration import choose_abstention, fit_temperature
from tasks.core.encoder import Classifier
from tasks.core.finetuning import Strategy, begin_epoch
from tasks.core.inference import Place, run_net, softmax
from tasks.core.losses import Loss, make_loss
from tasks.core.metrics import measure_predictions
from tasks.core.mixing import Mixing, mix_batch
from tasks.feeding import Source
from tasks.labelled import Labelled
from tasks.lesson import Lesson, Outcome
from tasks.views import Views

_NUM_BINS = 15


class Examples(NamedTuple):
    """What a part brings: images, targets (labels, or shares of the classes where images are
    mixed), weights, and rows of the manifest."""

    images: Source
    codes: np.ndarray
    weights: np.ndarray
    mixing: Mixing
    num_classes: int
    seed: int

    def __call__(self, part: Part) -> tuple[np.ndarray, ...]:
        (images,), rows = self.images(part), part.own_rows
        codes, weights = self.codes[rows], self.weights[rows]
        if not self.mixing.is_on:
            return images, codes, weights, rows
        draws = (self.seed, part.epoch, part.number)
        return *mix_batch(self.mixing, images, codes, weights, self.num_classes, *draws), rows


class Classification(Lesson):
    """`net` learns the labels of `labelled`, whose images come as `views`."""

    net: Classifier

    def __init__(
        self,
        classifier: Classifier,
        labelled: Labelled,
        views: Views,
        loss: Loss,
        strategy: Strategy,
        keeps_statistics: bool,
        place: Place,
        seed: int,
    ):
        super().__init__()
        self.net, self.rows = classifier, labelled.rows
        self.labelled, self.views, self.place = labelled, views, place
        self.strategy, self.keeps_statistics = strategy, keeps_statistics
        self.loss_of = make_loss(loss, torch.from_numpy(labelled.counts), len(labelled.codes))
        self.source = Examples(
            views.source,
            labelled.codes,
            labelled.weights,
            labelled.mixing,
            len(labelled.classes),
            seed,
        )

    def begin_epoch(self, epoch: int) -> None:
        begin_epoch(self.net, self.strategy, epoch, self.keeps_statistics)

    def weigh(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        masses_K = self.loss_of.masses_of_classes(epoch)
        return self.labelled.weights[rows] * masses_K[self.labelled.codes[rows]]

    def forward(self, part: Part, *tensors: Tensor) -> Outcome:
        brought, targets, weights_N, rows_N = tensors
        (images_NHWC,) = self.views.draw(part, brought)
        logits_NK = self.net(images_NHWC).float()
        loss = self.loss_of(logits_NK, targets, weights_N, rows_N, part.epoch)
        labels_N = targets if targets.ndim == 1 else targets.argmax(dim=1)
        right_N = logits_NK.detach().argmax(dim=1) == labels_N
        return Outcome(loss, right_N.float().mean())

    def measure(self, net: nn.Module) -> dict[str, float]:
        return self.score(run_net(net, self.labelled.pixels, self.labelled.val, *self.place))

    def score(self, logits_NK: np.ndarray) -> dict[str, float]:
        """What the net is worth, by its logits of val rows. The loss at the temperature that suits
        them best is what the net can be brought to: a net that is right more often, and too sure
        of itself, has the greater loss as it is."""
        scores = val_scores(logits_NK, self.labelled)
        labels_N = self.labelled.codes[self.labelled.val]
        return {
            "val_loss": scores["log_loss"],
            "val_calibrated_loss": fit_temperature(logits_NK.astype(np.float64), labels_N)[1],
            "val_balanced_accuracy": scores["balanced_accuracy"],
            "val_macro_f1": scores["macro_f1"],
        }


class Calibration(NamedTuple):
    """Fitted on val: the temperature of the logits and the log loss at it, the confidence below
    which not to answer, and whether that can be shown to keep the error that was asked for (if not,
    it is 0)."""

    temperature: float
    calibrated_log_loss: float
    abstention: float
    abstention_reached: bool


def calibrate(logits_NK: np.ndarray, labelled: Labelled, max_error: float) -> Calibration:
    logits_NK = logits_NK.astype(np.float64)
    labels_N = labelled.codes[labelled.val]
    fitted, log_loss = fit_temperature(logits_NK, labels_N)
    temperature = round(fitted, 6)
    confidence_N = softmax(logits_NK / temperature).max(axis=1)
    is_right_N = logits_NK.argmax(axis=1) == labels_N
    threshold = choose_abstention(confidence_N, is_right_N, max_error)
    return Calibration(temperature, log_loss, threshold or 0.0, threshold is not None)


def val_scores(logits_NK: np.ndarray, labelled: Labelled) -> dict[str, float]:
    return measure_predictions(labelled.codes[labelled.val], softmax(logits_NK), _NUM_BINS)
