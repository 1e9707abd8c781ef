"""Stage pretrain: an encoder learnt from pixels without labels, and whether it is worth having."""

import logging
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tasks.artifacts.checkpoints import Checkpoints
from tasks.artifacts.documents import load_json, save_json
from tasks.artifacts.images import Images
from tasks.artifacts.models import Description, new_encoder, save_encoder
from tasks.artifacts.pretrained import begin_encoder
from tasks.artifacts.tables import load_rows, load_table, save_csv
from tasks.core.adoption import Adoption, Embedded, judge_adoption
from tasks.core.architecture import Architecture
from tasks.core.device_augmentation import refuse_host_only
from tasks.core.embeddings import has_collapsed
from tasks.core.encoder import Encoder, count_flops, count_parameters
from tasks.core.errors import ParamsError
from tasks.core.inference import Place, chosen_device
from tasks.core.masked import Masked
from tasks.core.methods import Method, make_method
from tasks.core.optimisation import Optimisation, make_optimisation
from tasks.core.optimisers import Optimiser
from tasks.core.params import Run
from tasks.core.pixels import Canonical
from tasks.core.policy import Transforms, build_policy
from tasks.core.schedules import Schedule, refuse_unreached
from tasks.core.teachers import Moco
from tasks.core.yardstick import Yardstick, choose_yardstick, embed, settle
from tasks.fingerprint import fingerprint
from tasks.launching import asked_workers, checkpoint_pause
from tasks.learning import Entry, History, Training
from tasks.lesson import Course, Execution
from tasks.self_supervision import SelfSupervision
from tasks.views import make_views

COLLAPSE = ("feature_spread", "projection_spread", "effective_rank")
# What the last epoch says of itself, not of the encoder.
_OF_EPOCHS = ("epoch", "learning_rate")
_WITH_PATCHES = ("vit", "transformers")


class Params(Execution):
    """`views` is what is done to an image to make a view of it. The encoder is adopted if a probe
    on it beats the same probe on the best of `num_fresh_nets` that have learnt nothing."""

    architecture: Architecture
    method: Method
    views: Transforms
    optimiser: Optimiser
    schedule: Schedule
    epochs: NonNegativeInt
    batch_size: Annotated[int, Field(ge=8)]
    num_fresh_nets: PositiveInt

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        refuse_unreached(self.schedule, self.epochs)
        is_masked, family = isinstance(self.method, Masked), self.architecture.family
        if is_masked and family not in _WITH_PATCHES:
            raise ValueError(
                f"method masked hides patches from a vision transformer, and architecture.family "
                f"is {family}; expected one of {list(_WITH_PATCHES)}, or another method"
            )
        if self.epochs and not is_masked and not self.views:
            raise ValueError(
                f"method {self.method.name} compares two views of an image, and without a "
                "transform in views both are the same; expected at least one"
            )
        if self.augmentation == "device":
            refuse_host_only(self.views)
        if self.schedule.name == "plateau":
            raise ValueError(
                "schedule plateau waits for a val loss, and nothing here is learnt from labels; "
                "expected another"
            )
        if self.optimiser.ema_decay:
            raise ValueError(
                "optimiser.ema_decay: the last weights are kept here; expected 0, or a method with "
                "a teacher (moco, byol)"
            )
        return self


def main(
    images: Path,
    manifest: Path,
    train: Path,
    unlabelled: Path,
    val: Path,
    statistics: Path,
    canonical: Path,
    out_encoder: Path,
    out_metrics: Path,
    out_epochs: Path,
    params: Params,
    run: Run,
    checkpoints: Path | None = None,
) -> dict[str, Any] | None:
    """Without a folder for checkpoints, what is interrupted begins anew."""
    pixels, normalisation = Images(images), load_json(statistics)
    learnt = np.sort(np.concatenate([load_rows(train), load_rows(unlabelled)]))
    made_by = fingerprint("pretrain", params, run)
    torch.manual_seed(run.seed)
    encoder, description = begin_encoder(
        params.architecture,
        normalisation["mean"],
        normalisation["std"],
        Canonical(**load_json(canonical)),
        made_by,
    )
    num_flops = count_flops(encoder, pixels.image_shape)
    codes = pd.factorize(load_table(manifest, ["label"])["label"], sort=True)[0]
    yardstick = choose_yardstick(codes, load_rows(train), load_rows(val), run.seed)
    kept = Checkpoints(made_by, checkpoints) if checkpoints else None
    training = pretrain(encoder, pixels, learnt, yardstick, params, run, kept)
    alarm = _Alarm(params, training.rank)
    history = training.run(alarm)
    # What had ended before it was interrupted says nothing by itself.
    alarm(history[-1])
    if training.rank > 0:
        return None  # the first process says it all
    last = {name: round(value, 6) for name, value in history[-1].items() if value is not None}
    collapsed = _shows_collapse(last)
    assert isinstance(training.lesson, SelfSupervision)
    # What had ended before it was interrupted is not measured again.
    embedded = training.lesson.embedded or embed(encoder, pixels, yardstick, _place(run))
    adoption = judge(embedded, description, pixels, yardstick, collapsed, params, run)
    save_encoder(encoder, description.model_copy(update={"adoption": adoption}), out_encoder)
    save_csv(_table(history), out_epochs)
    save_json(
        {
            "method": params.method.name,
            "num_epochs": params.epochs,
            "num_images": len(learnt),
            "num_parameters": count_parameters(encoder),
            "num_flops": num_flops,
            **{name: value for name, value in last.items() if name not in _OF_EPOCHS},
            "collapsed": collapsed,
            "adoption": adoption.model_dump(),
        },
        out_metrics,
    )
    training.delete_checkpoints()
    return training.observed


def _table(history: History) -> pd.DataFrame:
    """An epoch a row; the net before it learns, if there was none."""
    return pd.DataFrame(history[1:] or history).drop(columns="accuracy").round(6)


def _shows_collapse(entry: Entry) -> bool:
    return has_collapsed(*(entry[name] for name in COLLAPSE))


class _Alarm:
    """Says that the encoder has collapsed, once, when two epochs on end show it, or the last; what
    has learnt little yet may look so too."""

    def __init__(self, params: Params, rank: int):
        self._params, self._is_silent = params, rank > 0
        self._was_collapsed = False

    def __call__(self, entry: Entry) -> None:
        shows = _shows_collapse(entry)
        is_sure = self._was_collapsed or entry["epoch"] == self._params.epochs
        self._was_collapsed = shows and entry["epoch"] > 0
        if self._is_silent or not (shows and is_sure):
            return
        self._is_silent = True
        logging.getLogger("pretrain").warning(
            f"epoch {entry['epoch']}: the encoder has collapsed: all images look alike to it or to "
            f"its projector ("
            + ", ".join(f"{name.replace('_', ' ')} {entry[name]:.3g}" for name in COLLAPSE)
            + f"); try another pretrain.method than {self._params.method.name}, or a lower "
            "pretrain.optimiser.learning_rate"
        )


def judge(
    embedded: Embedded,
    description: Description,
    pixels: Images,
    yardstick: Yardstick,
    collapsed: bool,
    params: Params,
    run: Run,
) -> Adoption:
    """Whether the encoder beats nets of its kind that have learnt nothing, each of another seed."""
    place = _place(run)

    def fresh(number: int) -> Embedded:
        torch.manual_seed(run.seed + number)
        net = new_encoder(description).to(place.device)
        settle(net, pixels, yardstick.train, place)
        return embed(net, pixels, yardstick, place)

    return judge_adoption(
        embedded,
        [fresh(number) for number in range(1, params.num_fresh_nets + 1)],
        yardstick.train_labels,
        yardstick.val_labels,
        collapsed,
        run.seed,
    )


def pretrain(
    encoder: Encoder,
    pixels: Images,
    rows: np.ndarray,
    yardstick: Yardstick,
    params: Params,
    run: Run,
    checkpoints: Checkpoints | None = None,
) -> Training:
    """The training that is to be run, of the encoder as it stands.

    Raises ParamsError for a queue so long that an image would meet its own former key there.
    """
    place = _place(run)
    asked = params.method
    if isinstance(asked, Moco) and params.epochs > 0 and asked.queue_length >= len(rows):
        raise ParamsError(
            f"params.yaml: pretrain.method.queue_length {asked.queue_length} holds keys of all "
            f"{len(rows)} images, each image's own among them; expected fewer"
        )
    method = make_method(asked, encoder, pixels.image_shape)
    policy = build_policy(params.views, pixels.image_shape)
    views = make_views(pixels, policy, 2, run.seed, params.augmentation, place.device)
    course = Course(
        title="pretrain",
        epochs=params.epochs,
        batch_size=params.batch_size,
        num_accumulated=params.num_accumulated,
        judge=None,
        patience=None,
        is_compiled=params.compiled,
        seed=run.seed,
        num_workers=asked_workers(place.device, views.reads_images),
    )

    def optimise(per_epoch: int) -> Optimisation:
        return make_optimisation(
            method, params.optimiser, params.schedule, params.epochs, per_epoch
        )

    lesson = SelfSupervision(method, pixels, rows, views, yardstick, place)
    return Training(lesson, optimise, course, place, checkpoints, checkpoint_pause())


def _place(run: Run) -> Place:
    return Place(chosen_device(run.device), run.precision)
