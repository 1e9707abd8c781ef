"""What a classifier is taught from: rows of labelled images, and what is done to them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import albumentations as A
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tasks.artifacts.documents import load_json
from tasks.artifacts.images import Images
from tasks.artifacts.tables import load_rows, load_table
from tasks.core.batches import Batch, shuffled_batches
from tasks.core.errors import SplitError
from tasks.core.mixing import Mixing, mix_batch
from tasks.core.policy import augment_batch, load_policy


class Labelled(NamedTuple):
    """Train rows with repeats and val rows; per row of the manifest its class and weight; per class
    how many of the train rows it has."""

    pixels: Images
    rows: np.ndarray
    val: np.ndarray
    codes: np.ndarray
    weights: np.ndarray
    classes: list[str]
    counts: np.ndarray
    policy: A.Compose
    mixing: Mixing


class Place(NamedTuple):
    """Where and how it is computed."""

    device: torch.device
    precision: str
    seed: int


class Lesson(NamedTuple):
    """uint8 images (N, H, W, C), their targets (labels, or shares of the classes where images are
    mixed), weights, and rows of the manifest."""

    images_NHWC: Tensor
    targets: Tensor
    weights_N: Tensor
    rows_N: Tensor


def load_labelled(
    images: Path, labels: Path, rows: Path, val: Path, priors: Path, policy: Path
) -> Labelled:
    """Raises SplitError if no val row bears a class of the train rows."""
    table, chosen, held_out = load_table(labels), load_rows(rows), load_rows(val)
    prior_of = load_json(priors)
    codes = pd.Categorical(table["label"], categories=list(prior_of)).codes.astype(np.int64)
    held_out = held_out[codes[held_out] >= 0]
    if len(held_out) == 0:
        raise SplitError("finetune: no val row bears a class of the train rows")
    document = load_json(policy)
    return Labelled(
        Images(images),
        chosen,
        held_out,
        codes,
        table["weight"].to_numpy(dtype=np.float32),
        list(prior_of),
        np.rint(np.array(list(prior_of.values())) * len(chosen)).astype(np.int64),
        load_policy(document["transforms"]),
        Mixing(**document["mixing"]),
    )


def lessons(
    labelled: Labelled, batch_size: int, seed: int, epoch: int, device: torch.device
) -> Iterator[Lesson]:
    """All train rows once, augmented and mixed by draws from (seed, epoch, batch)."""
    for batch in shuffled_batches(labelled.rows, batch_size, seed, epoch):
        arrays = (*_augmented(labelled, batch, seed, epoch), batch.rows)
        yield Lesson(*(torch.from_numpy(array).to(device) for array in arrays))


def _augmented(
    labelled: Labelled, batch: Batch, seed: int, epoch: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    codes, weights = labelled.codes[batch.rows], labelled.weights[batch.rows]
    images = augment_batch(labelled.policy, labelled.pixels[batch.rows], seed, epoch, batch.number)
    if not labelled.mixing.is_on:
        return images, codes, weights
    classes = len(labelled.classes)
    return mix_batch(labelled.mixing, images, codes, weights, classes, seed, epoch, batch.number)
