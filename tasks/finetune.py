"""Stage finetune: a classifier, from the encoder or from scratch."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import nn

from tasks.artifacts.documents import save_json
from tasks.artifacts.embeddings import load_synthetic
from tasks.artifacts.models import Description, load_encoder, new_encoder, save_classifier
from tasks.artifacts.tables import save_csv
from tasks.core import losses, schedules
from tasks.core.adoption import Initialisation, begin_with
from tasks.core.batches import num_batches
from tasks.core.encoder import Classifier
from tasks.core.errors import ParamsError, TilthError
from tasks.core.finetuning import Frozen, Full, Strategy, begin_epoch, rate_fractions
from tasks.core.inference import at_precision, chosen_device, run_net, softmax
from tasks.core.losses import Loss, make_loss
from tasks.core.metrics import measure_predictions
from tasks.core.optimisation import make_optimisation
from tasks.core.optimisers import Optimiser
from tasks.core.params import Run, Section
from tasks.core.probe import AnyProbe, NoProbe
from tasks.core.refitting import AnyRefit, Refit
from tasks.core.schedules import Plateau, Schedule
from tasks.fingerprint import fingerprint
from tasks.heads import probe_head, refit_head
from tasks.labelled import Labelled, Place, lessons, load_labelled
from tasks.progress import progress

_NUM_BINS = 15


class Params(Section):
    """A linear probe first, then the layers that `strategy` names for `epochs`; stops after
    `patience` epochs without a better val log loss, and keeps the best; then, where asked for, the
    head once more.

    Where it begins from scratch, there is no probe. Where it begins with the encoder, and there are
    fewer different train rows than `least_batch_norm_rows`, batch-norm statistics stay as they are.
    """

    initialisation: Initialisation
    probe: AnyProbe
    strategy: Strategy
    loss: Loss
    optimiser: Optimiser
    schedule: Schedule
    epochs: NonNegativeInt
    patience: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    least_batch_norm_rows: NonNegativeInt
    refit: AnyRefit

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        schedules.refuse_unreached(self.schedule, self.epochs)
        losses.refuse_unreached(self.loss, self.epochs)
        if self.initialisation == "scratch" and not isinstance(self.strategy, Full):
            raise ValueError(
                f"strategy {self.strategy.name} spares what was learnt before, and with "
                "initialisation scratch nothing was; expected strategy full"
            )
        if isinstance(self.strategy, Frozen) and isinstance(self.refit, Refit):
            raise ValueError(
                "refit would throw away the head, and with strategy frozen nothing else learns; "
                "expected one of the two"
            )
        if isinstance(self.schedule, Plateau) and self.schedule.patience + 1 >= self.patience:
            raise ValueError(
                f"schedule.patience is {self.schedule.patience}, so learning would stop before a "
                f"lower rate is tried; expected less than patience - 1 ({self.patience - 1})"
            )
        return self


class Epoch(NamedTuple):
    """What an epoch brought, and the rate of its last step; epoch 0 is the net before it learns."""

    epoch: int
    learning_rate: float
    train_loss: float
    val_loss: float
    val_balanced_accuracy: float
    val_macro_f1: float


def main(
    images: Path,
    labels: Path,
    balanced: Path,
    val: Path,
    priors: Path,
    synthetic: Path,
    policy: Path,
    encoder: Path,
    out_classifier: Path,
    out_metrics: Path,
    out_epochs: Path,
    params: Params,
    run: Run,
    watch: Callable[[Epoch], None] = lambda epoch: None,
) -> None:
    """`watch` is told of every epoch, and may end it all by raising."""
    place = Place(chosen_device(run.device), run.precision, run.seed)
    labelled = load_labelled(images, labels, balanced, val, priors, policy)
    _refuse_mixtures(labelled, params)
    made_by = fingerprint("finetune", params, run)
    torch.manual_seed(run.seed)
    trained, described = load_encoder(encoder)
    params = _begun(params, described)
    description = described.model_copy(update={"classes": labelled.classes, "fingerprint": made_by})
    if params.initialisation == "scratch":
        trained = new_encoder(description)
    classifier = Classifier(trained, len(labelled.classes), params.dropout).to(place.device)
    if params.initialisation == "pretrained" and not isinstance(params.probe, NoProbe):
        made_up = load_synthetic(synthetic)
        probe_head(classifier, labelled, made_up, params.probe, place)
    taught = finetune(classifier, labelled, params, place)
    best, history = keep_best(classifier, taught, params, watch)
    if isinstance(params.refit, Refit):
        refit_head(classifier, labelled, params.refit, place)
    save_classifier(classifier, description, out_classifier)
    save_csv(pd.DataFrame(history), out_epochs)
    scores = _val_scores(classifier, labelled, place)
    counts = {"best_epoch": best.epoch, "num_epochs": len(history) - 1}
    save_json({**scores, **counts, "initialisation": params.initialisation}, out_metrics)


def _refuse_mixtures(labelled: Labelled, params: Params) -> None:
    if labelled.mixing.is_on and not params.loss.takes_mixtures:
        raise ParamsError(
            f"params.yaml: finetune.loss {params.loss.name} remembers what was said of each image, "
            "and a mixture is none of them; expected augment.mixup_alpha and cutmix_alpha of 0"
        )


def _begun(params: Params, encoder: Description) -> Params:
    """The params for what it begins with in the end: where the encoder was not adopted, there is
    nothing that another strategy than `full` could spare."""
    initialisation = begin_with(params.initialisation, encoder.adoption)
    if initialisation == "pretrained" or params.initialisation == "scratch":
        return params.model_copy(update={"initialisation": initialisation})
    full = Full(name="full", encoder_rate_fraction=1.0)
    return params.model_copy(update={"initialisation": initialisation, "strategy": full})


def finetune(
    classifier: Classifier, labelled: Labelled, params: Params, place: Place
) -> Iterator[tuple[Epoch, nn.Module]]:
    """Teaches in place; yields the state before the first epoch and after each, and the net that
    is to be kept for it: this one, or the average of what its weights were."""
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    per_epoch = num_batches(len(labelled.rows), params.batch_size)
    optimisation = make_optimisation(
        classifier,
        params.optimiser,
        params.schedule,
        params.epochs,
        per_epoch,
        rate_fractions(classifier, params.strategy),
    )
    loss_of = make_loss(params.loss, torch.from_numpy(labelled.counts), len(labelled.codes))
    loss_of.to(place.device)
    keeps_statistics = _has_few_rows(labelled, params)
    yield _measured(0, 0.0, 0.0, classifier, labelled, place), classifier
    for epoch in range(1, params.epochs + 1):
        begin_epoch(classifier, params.strategy, epoch, keeps_statistics)
        total = 0.0
        for lesson in lessons(labelled, params.batch_size, place.seed, epoch, place.device):
            with at_precision(place.precision, place.device):
                logits_NK = classifier(lesson.images_NHWC)
            loss = loss_of(logits_NK.float(), *lesson[1:], epoch)
            loss.backward()
            optimisation.step()
            total += loss.item()
        if not np.isfinite(total):
            raise TilthError(
                "finetune: the loss is not finite; try a lower finetune.optimiser.learning_rate"
            )
        net, rate = optimisation.judged_net, optimisation.learning_rate
        measured = _measured(epoch, rate, total / per_epoch, net, labelled, place)
        optimisation.end_epoch(measured.val_loss)
        yield measured, net


def _has_few_rows(labelled: Labelled, params: Params) -> bool:
    num_rows = len(np.unique(labelled.rows))
    return params.initialisation == "pretrained" and num_rows < params.least_batch_norm_rows


def keep_best(
    classifier: Classifier,
    taught: Iterator[tuple[Epoch, nn.Module]],
    params: Params,
    watch: Callable[[Epoch], None],
) -> tuple[Epoch, list[Epoch]]:
    """Runs the epochs until `patience` of them brought nothing, and restores the best weights."""
    best, history, weights = None, [], {}
    for epoch, net in progress(taught, params.epochs + 1, "finetune"):
        watch(epoch)
        history.append(epoch)
        if best is None or epoch.val_loss < best.val_loss:
            best = epoch
            weights = {name: value.clone() for name, value in net.state_dict().items()}
        if epoch.epoch - best.epoch >= params.patience:
            break
    assert best is not None
    classifier.load_state_dict(weights)
    return best, history


def _measured(
    epoch: int, rate: float, train_loss: float, net: nn.Module, labelled: Labelled, place: Place
) -> Epoch:
    scores = _val_scores(net, labelled, place)
    return Epoch(
        epoch,
        rate,
        train_loss,
        scores["log_loss"],
        scores["balanced_accuracy"],
        scores["macro_f1"],
    )


def _val_scores(net: nn.Module, labelled: Labelled, place: Place) -> dict[str, float]:
    logits_NK = run_net(net, labelled.pixels, labelled.val, place.device, place.precision)
    return measure_predictions(labelled.codes[labelled.val], softmax(logits_NK), _NUM_BINS)
