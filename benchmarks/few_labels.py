"""What an encoder is worth where few images have labels: probes on it, and nets tuned from it.

N, M images, D width of the embedding, K classes
"""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from benchmarks.pictures import CIFAR10_AUGMENT, NUM_CLASSES
from tasks.core.encoder import Classifier, Encoder
from tasks.core.inference import at_precision, run_net
from tasks.core.policy import Transform, augment_batch, build_policy

CPU = torch.device("cpu")
PENALTIES = (0.001, 0.01, 0.1, 1.0)
RATES = (0.0003, 0.001, 0.003)
BATCH_SIZE, WEIGHT_DECAY, WARMUP_FRACTION = 64, 0.05, 0.1
# As in tasks.core.probe: a feature that hardly varies must not be blown up when it is folded in.
LEAST_SD = 1e-2


class Part(NamedTuple):
    images_NHWC: np.ndarray
    labels_N: np.ndarray

    def take(self, rows: np.ndarray) -> "Part":
        return Part(self.images_NHWC[rows], self.labels_N[rows])


class Data(NamedTuple):
    """`train` is what nets learn from, `val` what everything is chosen on, `test` what is told."""

    train: Part
    val: Part
    test: Part
    precision: str

    def few(self, num_labels: int, seed: int) -> Part:
        """Train images of which the labels are known, as many of each class."""
        return self.train.take(self.few_rows(num_labels, seed))

    def few_rows(self, num_labels: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng([seed, num_labels])
        rows = [
            rng.permutation(np.flatnonzero(self.train.labels_N == label))
            for label in range(NUM_CLASSES)
        ]
        return np.concatenate([r[: num_labels // NUM_CLASSES] for r in rows])


@cache
def load_cifar10(folder: Path, counts: tuple[int, int, int], precision: str) -> Data:
    """The first images of each class for train, the next for val, and the first test images."""
    num_train, num_val, num_test = (count // NUM_CLASSES for count in counts)
    return Data(
        _load(folder / "train", slice(num_train)),
        _load(folder / "train", slice(num_train, num_train + num_val)),
        _load(folder / "test", slice(num_test)),
        precision,
    )


def _load(folder: Path, chosen: slice) -> Part:
    images, labels = [], []
    for label, place in enumerate(sorted(folder.iterdir())):
        for path in sorted(place.iterdir())[chosen]:
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("RGB")))
            labels.append(label)
    return Part(np.stack(images), np.array(labels))


def embed(encoder: Encoder, part: Part, precision: str) -> np.ndarray:
    return run_net(encoder, part.images_NHWC, np.arange(len(part.labels_N)), CPU, precision)


class Linear(NamedTuple):
    """A linear classifier of embeddings, standardisation folded in."""

    weight_KD: np.ndarray
    bias_K: np.ndarray

    def accuracy(self, embeddings_ND: np.ndarray, labels_N: np.ndarray) -> float:
        logits_NK = embeddings_ND @ self.weight_KD.T + self.bias_K
        return float((logits_NK.argmax(axis=1) == labels_N).mean())


def fit_linear(embeddings_ND: np.ndarray, labels_N: np.ndarray, penalty: float) -> Linear:
    """Logistic regression, as scikit-learn fits it; the penalty stands beside a sum over rows."""
    scaler = StandardScaler().fit(embeddings_ND)
    sd_D = np.maximum(np.sqrt(np.asarray(scaler.var_)), LEAST_SD)
    mean_D = np.asarray(scaler.mean_)
    regression = LogisticRegression(C=penalty, max_iter=500)
    regression.fit((embeddings_ND - mean_D) / sd_D, labels_N)
    weight_KD = regression.coef_ / sd_D
    return Linear(weight_KD, regression.intercept_ - weight_KD @ mean_D)


def best_linear(encoder: Encoder, few: Part, data: Data) -> Linear:
    """The penalty is the one of the best accuracy on val."""
    few_ND, val_MD = (embed(encoder, part, data.precision) for part in (few, data.val))
    fitted = [fit_linear(few_ND, few.labels_N, penalty) for penalty in PENALTIES]
    return max(fitted, key=lambda one: one.accuracy(val_MD, data.val.labels_N))


def tune(
    encoder: Encoder, head: Linear | None, few: Part, rate: float, num_steps: int, seed: int,
    precision: str,
) -> Classifier:  # fmt: skip
    """All layers taught for `num_steps` batches, from the encoder as it is (it is changed) and the
    given head, or a fresh one."""
    torch.manual_seed(seed)
    net = Classifier(encoder, NUM_CLASSES, 0.0)
    if head is not None:
        net.head.weight.data = torch.from_numpy(head.weight_KD).float()
        net.head.bias.data = torch.from_numpy(head.bias_K).float()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _factor(step, num_steps))
    transforms = [Transform(**one) for one in CIFAR10_AUGMENT]
    policy = build_policy(transforms, few.images_NHWC.shape[1:])
    labels_N = torch.from_numpy(few.labels_N)
    net.train()
    for step, rows in enumerate(_batches(len(few.labels_N), num_steps, seed)):
        images = augment_batch(policy, few.images_NHWC[rows], seed, 0, step)
        with at_precision(precision, CPU):
            logits_NK = net(torch.from_numpy(images))
        loss = F.cross_entropy(logits_NK.float(), labels_N[rows])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return net


def _factor(step: int, num_steps: int) -> float:
    warmup = WARMUP_FRACTION * num_steps
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (num_steps - warmup)))


def _batches(num_rows: int, num_steps: int, seed: int) -> Sequence[np.ndarray]:
    rng = np.random.default_rng(seed)
    num_epochs = math.ceil(num_steps * BATCH_SIZE / num_rows)
    order = np.concatenate([rng.permutation(num_rows) for _ in range(num_epochs)])
    return np.split(order[: num_steps * BATCH_SIZE], num_steps)


def accuracy(net: Classifier, part: Part, precision: str) -> float:
    logits_NK = run_net(net, part.images_NHWC, np.arange(len(part.labels_N)), CPU, precision)
    return float((logits_NK.argmax(axis=1) == part.labels_N).mean())
