"""Stage pretrain: an encoder learnt from pixels without labels (SimCLR, Chen et al., 2020)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from tasks.artifacts.documents import load_json, save_json
from tasks.artifacts.images import Images
from tasks.artifacts.models import save_encoder
from tasks.artifacts.pretrained import begin_encoder
from tasks.artifacts.tables import load_rows, load_table, save_csv
from tasks.core.architecture import Architecture
from tasks.core.batches import num_batches, shuffled_batches
from tasks.core.embeddings import feature_spread, knn_accuracy
from tasks.core.encoder import Encoder, count_flops, count_parameters, make_projector
from tasks.core.errors import TilthError
from tasks.core.inference import at_precision, chosen_device, run_net
from tasks.core.losses import nt_xent_loss
from tasks.core.params import Run, Section
from tasks.core.pixels import Canonical
from tasks.core.policy import Transforms, augment_batch, build_policy
from tasks.core.schedule import make_optimisation
from tasks.fingerprint import fingerprint
from tasks.progress import progress

_MOST_NEIGHBOURS = 5000


class Params(Section):
    """`views` is what is done to an image to make a view of it."""

    architecture: Architecture
    projector_width: PositiveInt
    projection_width: PositiveInt
    views: Transforms
    temperature: PositiveFloat
    epochs: NonNegativeInt
    warmup_epochs: NonNegativeInt
    batch_size: Annotated[int, Field(ge=8)]
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat


class Yardstick(NamedTuple):
    """Rows that measure the encoder, never teach it: labels of train vote on those of val."""

    train: np.ndarray
    train_labels: np.ndarray
    val: np.ndarray
    val_labels: np.ndarray


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
    labels = load_table(manifest, ["label"])["label"]
    yardstick = _yardstick(labels, load_rows(train), load_rows(val), run.seed)
    epochs = pretrain(encoder, pixels, learnt, yardstick, params, run)
    history = pd.DataFrame(progress(epochs, params.epochs, "pretrain"))
    save_encoder(encoder, description, out_encoder)
    save_csv(history, out_epochs)
    last = history.iloc[-1]
    save_json(
        {
            "num_epochs": params.epochs,
            "num_images": len(learnt),
            "num_parameters": count_parameters(encoder),
            "num_flops": num_flops,
            "loss": float(last["loss"]),
            "knn_accuracy": float(last["knn_accuracy"]),
            "feature_spread": float(last["feature_spread"]),
        },
        out_metrics,
    )


def _yardstick(labels: pd.Series, train: np.ndarray, val: np.ndarray, seed: int) -> Yardstick:
    codes = pd.factorize(labels, sort=True)[0]
    chosen = np.random.default_rng(seed).permutation(train)[:_MOST_NEIGHBOURS]
    held_out = np.random.default_rng(seed).permutation(val)[:_MOST_NEIGHBOURS]
    return Yardstick(chosen, codes[chosen], held_out, codes[held_out])


def pretrain(
    encoder: Encoder,
    pixels: Images,
    rows: np.ndarray,
    yardstick: Yardstick,
    params: Params,
    run: Run,
) -> Iterator[dict[str, float]]:
    """Teaches the encoder in place; yields what each epoch brought."""
    device = chosen_device(run.device)
    width = encoder.embedding_width
    projector = make_projector(width, params.projector_width, params.projection_width)
    net = torch.nn.Sequential(encoder, projector).to(device)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    per_epoch = num_batches(len(rows), params.batch_size)
    optimiser, schedule = make_optimisation(
        net.parameters(),
        params.learning_rate,
        params.weight_decay,
        params.epochs * per_epoch,
        params.warmup_epochs * per_epoch,
    )
    views = build_policy(params.views, pixels.image_shape)
    for epoch in range(params.epochs):
        net.train()
        total = 0.0
        for batch in shuffled_batches(rows, params.batch_size, run.seed, epoch):
            images = pixels[batch.rows]
            # Two draws a batch: even numbers are first views, odd ones second.
            draws = (2 * batch.number, 2 * batch.number + 1)
            both = np.concatenate(
                [augment_batch(views, images, run.seed, epoch, draw) for draw in draws]
            )
            with at_precision(run.precision, device):
                z1_ND, z2_ND = net(torch.from_numpy(both).to(device)).chunk(2)
            loss = nt_xent_loss(z1_ND.float(), z2_ND.float(), params.temperature)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        if not np.isfinite(total):
            raise TilthError("pretrain: the loss is not finite; try a lower pretrain.learning_rate")
        measured = _measured(encoder, pixels, yardstick, device, run.precision)
        yield {"epoch": epoch + 1, "loss": total / per_epoch, **measured}
    if params.epochs == 0:
        measured = _measured(encoder, pixels, yardstick, device, run.precision)
        yield {"epoch": 0, "loss": 0.0, **measured}


def _measured(
    encoder: Encoder, pixels: Images, yardstick: Yardstick, device: torch.device, precision: str
) -> dict[str, float]:
    train_ND = run_net(encoder, pixels, yardstick.train, device, precision)
    val_MD = run_net(encoder, pixels, yardstick.val, device, precision)
    accuracy = knn_accuracy(train_ND, yardstick.train_labels, val_MD, yardstick.val_labels)
    return {"knn_accuracy": accuracy, "feature_spread": feature_spread(val_MD)}
