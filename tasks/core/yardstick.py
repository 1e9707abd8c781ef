"""What an encoder is worth, measured on rows that teach it nothing.

N images, D width of the embedding
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from tasks.core.adoption import Embedded
from tasks.core.embeddings import effective_rank, feature_spread, knn_accuracy
from tasks.core.inference import ImageRows, Place, run_net

_MOST_ROWS = 5000
# Twenty steps of batch norm's running averages leave 0.9 ** 20 = 12 % of where they began.
_NUM_SETTLING, _SETTLING_BATCH = 20, 256


class Yardstick(NamedTuple):
    """Rows that measure the encoder, never teach it: labels of train vote on those of val."""

    train: np.ndarray
    train_labels: np.ndarray
    val: np.ndarray
    val_labels: np.ndarray


def choose_yardstick(
    labels_N: np.ndarray, train: np.ndarray, val: np.ndarray, seed: int
) -> Yardstick:
    """At most 5,000 rows of each. Labels are integers; a row without one (-1) measures nothing."""
    train, val = (
        np.random.default_rng(seed).permutation(rows[labels_N[rows] >= 0])[:_MOST_ROWS]
        for rows in (train, val)
    )
    return Yardstick(train, labels_N[train], val, labels_N[val])


def embed(net: nn.Module, images: ImageRows, yardstick: Yardstick, place: Place) -> Embedded:
    """The embeddings of its rows."""
    train_ND, val_MD = (
        run_net(net, images, rows, *place) for rows in (yardstick.train, yardstick.val)
    )
    return Embedded(train_ND, val_MD)


@torch.no_grad()
def measure(
    embedded: Embedded, yardstick: Yardstick, projector: nn.Module, device: torch.device
) -> dict[str, float]:
    """kNN accuracy on val; how far and in how many directions embeddings differ, and how far what
    the projector makes of them."""
    accuracy = knn_accuracy(
        embedded.train_ND, yardstick.train_labels, embedded.val_MD, yardstick.val_labels
    )
    was_training = projector.training
    projected = projector.eval()(torch.from_numpy(embedded.val_MD).to(device))
    projector.train(was_training)
    measured = {
        "knn_accuracy": accuracy,
        "feature_spread": feature_spread(embedded.val_MD),
        "projection_spread": feature_spread(projected.cpu().numpy()),
        "effective_rank": effective_rank(embedded.val_MD),
    }
    return {name: round(value, 6) for name, value in measured.items()}


@torch.no_grad()
def settle(net: nn.Module, images: ImageRows, rows: np.ndarray, place: Place) -> None:
    """Lets batch norm see the images, in place: a fresh net that divides by variances it has never
    seen is a weaker rival than it need be. Nothing else changes."""
    was_training = net.training
    net.train()
    chosen = np.resize(rows, min(_NUM_SETTLING * _SETTLING_BATCH, 20 * len(rows)))
    for batch in np.array_split(chosen, _NUM_SETTLING):
        if len(batch) > 1:
            net(torch.from_numpy(images[batch]).to(place.device))
    net.train(was_training)
