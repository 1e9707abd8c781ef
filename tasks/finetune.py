"""Stage finetune: a classifier, from the encoder or from scratch."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tasks.artifacts.checkpoints import Checkpoints
from tasks.artifacts.documents import save_json
from tasks.artifacts.embeddings import load_synthetic
from tasks.artifacts.models import Description, load_encoder, new_encoder, save_classifier
from tasks.artifacts.tables import load_rows, save_csv
from tasks.classification import Classification, calibrate, val_scores
from tasks.core import losses, schedules
from tasks.core.adoption import Initialisation, begin_with
from tasks.core.device_augmentation import refuse_host_only
from tasks.core.encoder import Classifier
from tasks.core.errors import ParamsError
from tasks.core.finetuning import Frozen, Full, Gradual, Strategy, rate_fractions
from tasks.core.fixmatch import FixMatch, Unlabelled
from tasks.core.inference import Place, chosen_device, run_net
from tasks.core.losses import Loss
from tasks.core.optimisation import Optimisation, make_optimisation
from tasks.core.optimisers import Optimiser
from tasks.core.params import Run, Section
from tasks.core.probe import AnyProbe, NoProbe
from tasks.core.refitting import AnyRefit, Refit
from tasks.core.schedules import Plateau, Schedule
from tasks.fingerprint import fingerprint
from tasks.heads import probe_head, refit_head
from tasks.labelled import Labelled, load_labelled
from tasks.launching import asked_workers, checkpoint_pause
from tasks.learning import Entry, History, Training
from tasks.lesson import Course, Execution
from tasks.semi_supervision import SemiSupervision
from tasks.views import make_views


class Abstention(Section):
    """The error among the images that the model answers, which val rows must show it to keep; 1
    lets it answer all."""

    max_error: Annotated[float, Field(gt=0, le=1)]


class Params(Execution):
    """A linear probe first, then the layers that `strategy` names for `epochs`; stops after
    `patience` epochs without a better log loss on val, as it is once calibrated, and keeps the
    best; then, where asked for, the head once more. In the end it is calibrated on val.

    Where it begins from scratch, there is no probe. Where it begins with the encoder, and there are
    fewer different train rows than `least_batch_norm_rows`, batch-norm statistics stay as they are.
    """

    initialisation: Initialisation
    probe: AnyProbe
    strategy: Strategy
    loss: Loss
    unlabelled: Unlabelled
    optimiser: Optimiser
    schedule: Schedule
    epochs: NonNegativeInt
    patience: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    least_batch_norm_rows: NonNegativeInt
    refit: AnyRefit
    abstention: Abstention

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.num_processes > 1:
            self._refuse_processes()
        schedules.refuse_unreached(self.schedule, self.epochs)
        losses.refuse_unreached(self.loss, self.epochs)
        if self.initialisation == "scratch" and not isinstance(self.strategy, Full):
            raise ValueError(
                f"strategy {self.strategy.name} spares what was learnt before, and with "
                "initialisation scratch nothing was; expected strategy full"
            )
        if isinstance(self.strategy, Gradual) and self.strategy.epochs_per_layer >= self.epochs > 0:
            raise ValueError(
                f"strategy gradual opens the first layer after {self.strategy.epochs_per_layer} "
                f"epochs, and there are {self.epochs}; expected less, or strategy frozen"
            )
        if self.augmentation == "device" and isinstance(self.unlabelled, FixMatch):
            refuse_host_only(self.unlabelled.strong)
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

    def _refuse_processes(self) -> None:
        if isinstance(self.strategy, Frozen | Gradual):
            raise ValueError(
                f"strategy {self.strategy.name} keeps layers from learning, and several processes "
                "wait for the gradients of all; expected full or layerwise, or num_processes of 1"
            )
        if not self.loss.takes_mixtures:
            raise ValueError(
                f"loss {self.loss.name} remembers what was said of each image, and each of several "
                "processes sees some of them alone; expected another loss, or num_processes of 1"
            )


def main(
    images: Path,
    labels: Path,
    balanced: Path,
    unlabelled: Path,
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
    checkpoints: Path | None = None,
    watch: Callable[[Entry], None] = lambda entry: None,
) -> dict[str, Any] | None:
    """`watch` is told of every epoch, and may end it all by raising. Without a folder for
    checkpoints, what is interrupted begins anew."""
    place = Place(chosen_device(run.device), run.precision)
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
    kept = Checkpoints(made_by, checkpoints) if checkpoints else None
    beside = load_rows(unlabelled)
    training = finetune(classifier, labelled, beside, params, place, run.seed, kept)
    history = training.run(watch)
    if training.rank > 0:
        return None  # the first process says it all
    if isinstance(params.refit, Refit):
        refit_head(classifier, labelled, params.refit, place, run.seed)
    logits_NK = run_net(classifier, labelled.pixels, labelled.val, *place)
    calibration = calibrate(logits_NK, labelled, params.abstention.max_error)
    fitted = {"temperature": calibration.temperature, "abstention": calibration.abstention}
    save_classifier(classifier, description.model_copy(update=fitted), out_classifier)
    save_csv(_table(history), out_epochs)
    scores = val_scores(logits_NK, labelled) | calibration._asdict()
    counts = {"best_epoch": training.best["epoch"], "num_epochs": len(history) - 1}
    save_json({**scores, **counts, "initialisation": params.initialisation}, out_metrics)
    training.delete_checkpoints()
    return training.observed


def _table(history: History) -> pd.DataFrame:
    """Epoch 0 is the net before it learns."""
    names = {"loss": "train_loss", "accuracy": "train_accuracy"}
    return pd.DataFrame(history).rename(columns=names).round(6)


def _refuse_mixtures(labelled: Labelled, params: Params) -> None:
    if not labelled.mixing.is_on:
        return
    where = "params.yaml: augment.mixup_alpha and cutmix_alpha mix the images of a batch"
    if not params.loss.takes_mixtures:
        raise ParamsError(
            f"params.yaml: finetune.loss {params.loss.name} remembers what was said of each image, "
            "and a mixture is none of them; expected augment.mixup_alpha and cutmix_alpha of 0"
        )
    if params.num_accumulated * params.num_processes > 1:
        raise ParamsError(
            f"{where}, and finetune.num_accumulated or num_processes takes it in parts; expected "
            "both to be 1, or alphas of 0"
        )
    if params.augmentation == "device":
        raise ParamsError(
            f"{where} on the host, and finetune.augmentation is device; expected host, or alphas "
            "of 0"
        )


def _begun(params: Params, encoder: Description) -> Params:
    """The params for what it begins with in the end: from scratch, all layers learn at one rate, as
    there is nothing to spare."""
    initialisation = begin_with(params.initialisation, encoder.adoption)
    if initialisation == "pretrained":
        return params.model_copy(update={"initialisation": initialisation})
    full = Full(name="full", encoder_rate_fraction=1.0)
    return params.model_copy(update={"initialisation": initialisation, "strategy": full})


def finetune(
    classifier: Classifier,
    labelled: Labelled,
    unlabelled: np.ndarray,
    params: Params,
    place: Place,
    seed: int,
    checkpoints: Checkpoints | None = None,
) -> Training:
    """The training that is to be run; it keeps the epoch of the least calibrated val loss."""
    views = make_views(labelled.pixels, labelled.policy, 1, seed, params.augmentation, place.device)
    has_few_rows = len(np.unique(labelled.rows)) < params.least_batch_norm_rows
    keeps_statistics = params.initialisation == "pretrained" and has_few_rows
    given = (classifier, labelled, views, params.loss, params.strategy, keeps_statistics, place)
    if isinstance(params.unlabelled, FixMatch):
        lesson = SemiSupervision(
            *given,
            unlabelled=unlabelled,
            how=params.unlabelled,
            where=params.augmentation,
            seed=seed,
        )
    else:
        lesson = Classification(*given, seed)
    course = Course(
        title="finetune",
        epochs=params.epochs,
        batch_size=params.batch_size,
        num_accumulated=params.num_accumulated,
        judge="val_calibrated_loss",
        patience=params.patience,
        is_compiled=params.compiled,
        seed=seed,
        num_workers=asked_workers(place.device, views.reads_images),
    )

    def optimise(per_epoch: int) -> Optimisation:
        fractions = rate_fractions(classifier, params.strategy)
        return make_optimisation(
            classifier, params.optimiser, params.schedule, params.epochs, per_epoch, fractions
        )

    return Training(lesson, optimise, course, place, checkpoints, checkpoint_pause())
