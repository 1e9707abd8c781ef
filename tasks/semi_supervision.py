"""How a classifier is taught by images without labels, beside those that have one.

N images of val, U without labels, K classes
"""

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from tasks.classification import Classification
from tasks.core.batches import Part
from tasks.core.errors import ParamsError
from tasks.core.fixmatch import (
    Beside,
    FixMatch,
    fixmatch_loss,
    keeping_statistics,
    predicting,
    rows_beside,
)
from tasks.core.inference import softmax
from tasks.core.losses import Loss
from tasks.core.policy import build_policy
from tasks.feeding import Source
from tasks.labelled import Labelled
from tasks.lesson import Outcome, Where
from tasks.views import make_views


class Pairs(NamedTuple):
    """What a part brings: its examples, then a weak and a strong view of each row beside them."""

    examples: Source
    weak: Source
    strong: Source
    unlabelled: np.ndarray
    ratio: int
    seed: int

    def beside(self, part: Part) -> Beside:
        return rows_beside(part, self.unlabelled, self.ratio, self.seed)

    def __call__(self, part: Part) -> tuple[np.ndarray, ...]:
        weak, strong = self.beside(part)
        return *self.examples(part), *self.weak(weak), *self.strong(strong)


class SemiSupervision(Classification):
    """Teaches the labels of some images, and by FixMatch what is sure of the `unlabelled` rows.

    Batch norm remembers images with labels alone: they look like those that will be predicted, and
    strong views do not. So without a say (`weight` 0) the others change nothing, to the byte.
    """

    source: Pairs

    def __init__(self, *given: Any, unlabelled: np.ndarray, how: FixMatch, where: Where, seed: int):
        """`given`: what Classification takes. Raises ParamsError where FixMatch cannot teach."""
        super().__init__(*given, seed=seed)
        # What a person dropped weighs nothing.
        unlabelled = unlabelled[self.labelled.weights[unlabelled] > 0]
        refuse_unfit(how, self.labelled, unlabelled, self.loss_of.settings)
        pixels, device = self.labelled.pixels, self.place.device
        policy = build_policy(how.strong, pixels.image_shape)
        self.how, self.strong = how, make_views(pixels, policy, 1, seed, where, device)
        self.source = Pairs(
            self.source, self.views.source, self.strong.source, unlabelled, how.ratio, seed
        )

    def forward(self, part: Part, *tensors: Tensor) -> Outcome:
        *labelled, weak, strong = tensors
        places = self.source.beside(part)
        # First: dropout draws for them what it would if they were alone.
        outcome = super().forward(part, *labelled)
        with predicting(self.net):
            weak_UK = self.net(*self.views.draw(places.weak, weak)).float()
        with keeping_statistics(self.net):
            strong_UK = self.net(*self.strong.draw(places.strong, strong)).float()
        # What the loop weighs parts by is the weight of their labelled rows.
        weight = self.how.weight * len(part.own_rows) / len(part.rows) / self.share(part)
        loss = outcome.loss + weight * fixmatch_loss(weak_UK, strong_UK, self.how.threshold)
        return Outcome(loss, outcome.accuracy)

    def score(self, logits_NK: np.ndarray) -> dict[str, float]:
        """Besides, of val rows too, how many it is sure of, and how many of those are right."""
        is_sure_N = softmax(logits_NK).max(axis=1) >= self.how.threshold
        is_right_N = logits_NK.argmax(axis=1) == self.labelled.codes[self.labelled.val]
        return {
            **super().score(logits_NK),
            "val_sure_fraction": float(is_sure_N.mean()),
            "val_sure_accuracy": float(is_right_N[is_sure_N].mean()) if is_sure_N.any() else 0.0,
        }


def refuse_unfit(how: FixMatch, labelled: Labelled, unlabelled: np.ndarray, loss: Loss) -> None:
    """Raises ParamsError where there is nothing to learn from, or nothing to be sure of."""
    if len(unlabelled) == 0:
        raise ParamsError(
            "params.yaml: finetune.unlabelled fixmatch learns from rows without a label, and there "
            "are none; expected a folder of some in `unlabelled` of a source of ingest, or "
            "{name: none}"
        )
    if labelled.mixing.is_on:
        raise ParamsError(
            "params.yaml: augment.mixup_alpha and cutmix_alpha teach to be unsure, and "
            "finetune.unlabelled fixmatch learns from what the net is sure of; expected alphas of "
            "0, or {name: none}"
        )
    surest = 1 - loss.label_smoothing * (1 - 1 / len(labelled.classes))
    if how.threshold > surest:
        raise ParamsError(
            f"params.yaml: finetune.loss.label_smoothing teaches to be sure by {surest:.3g} at "
            f"most, and finetune.unlabelled.threshold is {how.threshold:g}; expected a lower one "
            "of the two"
        )
