"""Stage pretrain: an encoder learnt from pixels without labels, and whether it is worth having."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tasks.artifacts.documents import load_json, save_json
from tasks.artifacts.images import Images
from tasks.artifacts.models import Description, new_encoder, save_encoder
from tasks.artifacts.pretrained import begin_encoder
from tasks.artifacts.tables import load_rows, load_table, save_csv
from tasks.core.adoption import Adoption, Embedded, judge_adoption
from tasks.core.architecture import Architecture
from tasks.core.batches import Batch, num_batches, shuffled_batches
from tasks.core.embeddings import has_collapsed
from tasks.core.encoder import Encoder, count_flops, count_parameters
from tasks.core.errors import TilthError
from tasks.core.inference import at_precision, chosen_device
from tasks.core.methods import Method, make_method
from tasks.core.optimisation import make_optimisation
from tasks.core.optimisers import Optimiser
from tasks.core.params import Run, Section
from tasks.core.pixels import Canonical
from tasks.core.policy import Transforms, augment_batch, build_policy
from tasks.core.schedules import Schedule, refuse_unreached
from tasks.core.yardstick import Place, Yardstick, choose_yardstick, embed, measure, settle
from tasks.fingerprint import fingerprint
from tasks.progress import progress

COLLAPSE = ("feature_spread", "projection_spread", "effective_rank")


class Params(Section):
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
) -> None:
    pixels, normalisation = Images(images), load_json(statistics)
    learnt = np.sort(np.concatenate([load_rows(train), load_rows(unlabelled)]))
    torch.manual_seed(run.seed)
    encoder, description = begin_encoder(
        params.architecture,
        normalisation["mean"],
        normalisation["std"],
        Canonical(**load_json(canonical)),
        fingerprint("pretrain", params, run),
    )
    num_flops = count_flops(encoder, pixels.image_shape)
    codes = pd.factorize(load_table(manifest, ["label"])["label"], sort=True)[0]
    yardstick = choose_yardstick(codes, load_rows(train), load_rows(val), run.seed)
    epochs = pretrain(encoder, pixels, learnt, yardstick, params, run)
    history = pd.DataFrame(progress(epochs, params.epochs, "pretrain"))
    last = {str(name): value for name, value in history.iloc[-1].items()}
    collapsed = has_collapsed(*(last[name] for name in COLLAPSE))
    if collapsed:
        logging.getLogger("pretrain").warning(_collapse(params, last))
    adoption = judge(encoder, description, pixels, yardstick, collapsed, params, run)
    save_encoder(encoder, description.model_copy(update={"adoption": adoption}), out_encoder)
    save_csv(history, out_epochs)
    save_json(
        {
            "method": params.method.name,
            "num_epochs": params.epochs,
            "num_images": len(learnt),
            "num_parameters": count_parameters(encoder),
            "num_flops": num_flops,
            **{name: value for name, value in last.items() if name != "epoch"},
            "collapsed": collapsed,
            "adoption": adoption.model_dump(),
        },
        out_metrics,
    )


def _collapse(params: Params, last: dict[str, float]) -> str:
    return (
        "the encoder has collapsed: all images look alike to it or to its projector ("
        + ", ".join(f"{name.replace('_', ' ')} {last[name]:.3g}" for name in COLLAPSE)
        + f"); try another pretrain.method than {params.method.name}, or a lower "
        "pretrain.optimiser.learning_rate"
    )


def judge(
    encoder: Encoder,
    description: Description,
    pixels: Images,
    yardstick: Yardstick,
    collapsed: bool,
    params: Params,
    run: Run,
) -> Adoption:
    """Whether the encoder beats nets of its kind that have learnt nothing, each of another seed."""
    place = Place(chosen_device(run.device), run.precision)

    def fresh(number: int) -> Embedded:
        torch.manual_seed(run.seed + number)
        net = new_encoder(description).to(place.device)
        settle(net, pixels, yardstick.train, place)
        return embed(net, pixels, yardstick, place)

    return judge_adoption(
        embed(encoder, pixels, yardstick, place),
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
) -> Iterator[dict[str, float]]:
    """Teaches the encoder in place; yields what each epoch brought."""
    place = Place(chosen_device(run.device), run.precision)
    method = make_method(params.method, encoder, pixels.image_shape).to(place.device)
    method.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    per_epoch = num_batches(len(rows), params.batch_size)
    optimisation = make_optimisation(
        method, params.optimiser, params.schedule, params.epochs, per_epoch
    )
    views = build_policy(params.views, pixels.image_shape)

    def draw_views(batch: Batch, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        # Two draws a batch: even numbers are first views, odd ones second.
        images = pixels[batch.rows]
        first, second = (
            torch.from_numpy(augment_batch(views, images, run.seed, epoch, draw)).to(place.device)
            for draw in (2 * batch.number, 2 * batch.number + 1)
        )
        return first, second

    def measured() -> dict[str, float]:
        embedded = embed(encoder, pixels, yardstick, place)
        return measure(embedded, yardstick, method.projector, place.device)

    for epoch in range(params.epochs):
        method.train()
        total = 0.0
        for batch in shuffled_batches(rows, params.batch_size, run.seed, epoch):
            with at_precision(place.precision, place.device):
                loss = method(*draw_views(batch, epoch))
            loss.backward()
            optimisation.step()
            done = epoch * per_epoch + batch.number + 1
            method.end_step(done / (params.epochs * per_epoch))
            total += loss.item()
        if not np.isfinite(total):
            raise TilthError(
                "pretrain: the loss is not finite; try a lower pretrain.optimiser.learning_rate"
            )
        yield {"epoch": epoch + 1, "loss": round(total / per_epoch, 6), **measured()}
    if params.epochs == 0:
        yield {"epoch": 0, "loss": 0.0, **measured()}
