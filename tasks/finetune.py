"""Stage finetune: a classifier, from the encoder or from scratch."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import albumentations as A
import numpy as np
import pandas as pd
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from tasks.artifacts.documents import load_json, save_json
from tasks.artifacts.embeddings import Synthetic, load_synthetic
from tasks.artifacts.images import Images
from tasks.artifacts.models import Description, load_encoder, new_encoder, save_classifier
from tasks.artifacts.tables import load_rows, load_table, save_csv
from tasks.core.batches import Batch, num_batches, shuffled_batches
from tasks.core.encoder import Classifier
from tasks.core.errors import SplitError, TilthError
from tasks.core.inference import at_precision, chosen_device, run_net, softmax
from tasks.core.losses import balanced_softmax_loss
from tasks.core.metrics import measure_predictions
from tasks.core.mixing import Mixing, mix_batch
from tasks.core.params import Run, Section
from tasks.core.policy import augment_batch, load_policy
from tasks.core.probe import fit_head
from tasks.core.schedule import make_optimisation
from tasks.fingerprint import fingerprint
from tasks.progress import progress

_NUM_BINS = 15


class Params(Section):
    """A linear probe first (where the encoder is pretrained), then all layers for `epochs`; stops
    after `patience` epochs without a better val log loss, and keeps the best."""

    initialisation: Literal["pretrained", "scratch"]
    probe_steps: NonNegativeInt
    probe_penalty: NonNegativeFloat
    epochs: NonNegativeInt
    warmup_epochs: NonNegativeInt
    patience: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    dropout: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]


class Lesson(NamedTuple):
    """What is learnt from: rows with repeats, and per row of the manifest its class and weight."""

    pixels: Images
    rows: np.ndarray
    val: np.ndarray
    codes: np.ndarray
    weights: np.ndarray
    priors: torch.Tensor
    policy: A.Compose
    mixing: Mixing


class Place(NamedTuple):
    """Where and how it is computed."""

    device: torch.device
    precision: str
    seed: int


class Epoch(NamedTuple):
    """What an epoch brought; epoch 0 is the net before all its layers learn."""

    epoch: int
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
    prior_of = load_json(priors)
    table = load_table(labels)
    lesson = _lesson(images, table, load_rows(balanced), load_rows(val), prior_of, policy)
    made_by = fingerprint("finetune", params, run)
    torch.manual_seed(run.seed)
    classifier, description = _classifier(encoder, list(prior_of), made_by, params)
    classifier.to(place.device)
    if params.initialisation == "pretrained" and params.probe_steps:
        probe(classifier, lesson, load_synthetic(synthetic), list(prior_of), params, place)
    epochs = finetune(classifier, lesson, params, place)
    best, history = keep_best(classifier, epochs, params, watch)
    save_classifier(classifier, description, out_classifier)
    save_csv(pd.DataFrame(history), out_epochs)
    scores = _val_scores(classifier, lesson, place)
    save_json({**scores, "best_epoch": best.epoch, "num_epochs": len(history) - 1}, out_metrics)


def _lesson(
    images: Path,
    table: pd.DataFrame,
    rows: np.ndarray,
    val: np.ndarray,
    prior_of: dict[str, float],
    policy: Path,
) -> Lesson:
    codes = pd.Categorical(table["label"], categories=list(prior_of)).codes.astype(np.int64)
    val = val[codes[val] >= 0]
    if len(val) == 0:
        raise SplitError("finetune: no val row bears a class of the train rows")
    weights = table["weight"].to_numpy(dtype=np.float32)
    priors = torch.tensor(list(prior_of.values()), dtype=torch.float32)
    document = load_json(policy)
    transforms, mixing = load_policy(document["transforms"]), Mixing(**document["mixing"])
    return Lesson(Images(images), rows, val, codes, weights, priors, transforms, mixing)


def _classifier(
    path: Path, classes: list[str], made_by: dict[str, Any], params: Params
) -> tuple[Classifier, Description]:
    encoder, described = load_encoder(path)
    description = described.model_copy(update={"classes": classes, "fingerprint": made_by})
    if params.initialisation == "scratch":
        encoder = new_encoder(description)
    width = description.architecture.embedding_width
    return Classifier(encoder, width, len(classes), params.dropout), description


def probe(
    classifier: Classifier,
    lesson: Lesson,
    synthetic: Synthetic,
    classes: list[str],
    params: Params,
    place: Place,
) -> None:
    """Fits the head in place, to the embeddings of the rows and to those that were made up."""
    rows = np.unique(lesson.rows)
    embeddings_ND = run_net(classifier.encoder, lesson.pixels, rows, place.device, place.precision)
    made_up = pd.Categorical(synthetic.labels_S, categories=classes).codes.astype(np.int64)
    codes = np.concatenate([lesson.codes[rows], made_up])
    weights = np.concatenate([lesson.weights[rows], np.ones(len(made_up), np.float32)])
    counts = np.bincount(codes, minlength=len(classes))
    made_up_SD = synthetic.embeddings_SD if len(made_up) else embeddings_ND[:0]  # of any width
    head = fit_head(
        torch.from_numpy(np.concatenate([embeddings_ND, made_up_SD])),
        torch.from_numpy(codes),
        torch.from_numpy(weights),
        torch.from_numpy(counts / counts.sum()).float(),
        params.probe_penalty,
        params.probe_steps,
    )
    classifier.head.weight.data.copy_(head.weight_KD)
    classifier.head.bias.data.copy_(head.bias_K)


def finetune(
    classifier: Classifier, lesson: Lesson, params: Params, place: Place
) -> Iterator[Epoch]:
    """Teaches all layers in place; yields the state before the first epoch and after each."""
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    per_epoch = num_batches(len(lesson.rows), params.batch_size)
    optimiser, schedule = make_optimisation(
        classifier.parameters(),
        params.learning_rate,
        params.weight_decay,
        params.epochs * per_epoch,
        params.warmup_epochs * per_epoch,
    )
    priors_K = lesson.priors.to(place.device)
    yield _measured(0, 0.0, classifier, lesson, place)
    for epoch in range(1, params.epochs + 1):
        classifier.train()
        total = 0.0
        for batch in shuffled_batches(lesson.rows, params.batch_size, place.seed, epoch):
            images_NHWC, targets, weights_N = (
                torch.from_numpy(each).to(place.device)
                for each in _augmented(lesson, batch, place.seed, epoch)
            )
            with at_precision(place.precision, place.device):
                logits_NK = classifier(images_NHWC)
            loss = balanced_softmax_loss(
                logits_NK.float(), targets, priors_K, weights_N, params.label_smoothing
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        if not np.isfinite(total):
            raise TilthError("finetune: the loss is not finite; try a lower learning_rate")
        yield _measured(epoch, total / per_epoch, classifier, lesson, place)


def _augmented(lesson: Lesson, batch: Batch, seed: int, epoch: int) -> tuple[np.ndarray, ...]:
    """Images, targets (labels, or shares of the classes where images are mixed), and weights."""
    codes, weights = lesson.codes[batch.rows], lesson.weights[batch.rows]
    images = augment_batch(lesson.policy, lesson.pixels[batch.rows], seed, epoch, batch.number)
    if not lesson.mixing.is_on:
        return images, codes, weights
    num_classes = len(lesson.priors)
    return mix_batch(lesson.mixing, images, codes, weights, num_classes, seed, epoch, batch.number)


def keep_best(
    classifier: Classifier,
    epochs: Iterator[Epoch],
    params: Params,
    watch: Callable[[Epoch], None],
) -> tuple[Epoch, list[Epoch]]:
    """Runs the epochs until `patience` of them brought nothing, and restores the best weights."""
    best, history, weights = None, [], {}
    for epoch in progress(epochs, params.epochs + 1, "finetune"):
        watch(epoch)
        history.append(epoch)
        if best is None or epoch.val_loss < best.val_loss:
            best = epoch
            weights = {name: value.clone() for name, value in classifier.state_dict().items()}
        if epoch.epoch - best.epoch >= params.patience:
            break
    assert best is not None
    classifier.load_state_dict(weights)
    return best, history


def _measured(
    epoch: int, train_loss: float, classifier: Classifier, lesson: Lesson, place: Place
) -> Epoch:
    scores = _val_scores(classifier, lesson, place)
    return Epoch(
        epoch,
        train_loss,
        scores["log_loss"],
        scores["balanced_accuracy"],
        scores["macro_f1"],
    )


def _val_scores(classifier: Classifier, lesson: Lesson, place: Place) -> dict[str, float]:
    logits_NK = run_net(classifier, lesson.pixels, lesson.val, place.device, place.precision)
    return measure_predictions(lesson.codes[lesson.val], softmax(logits_NK), _NUM_BINS)
