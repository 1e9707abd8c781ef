"""What the audit of labels is compared with: out-of-fold probabilities without pretraining.

N, M images, K classes
"""

import time
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from benchmarks.cells import say
from benchmarks.pictures import NUM_CLASSES, Pictures, new_encoder
from tasks.core.batches import num_batches, shuffled_batches
from tasks.core.encoder import Classifier
from tasks.core.inference import at_precision, run_net, softmax
from tasks.core.optimisation import make_optimisation
from tasks.core.policy import augment_batch, build_policy
from tasks.core.schedules import Cosine

NUM_FOLDS = 5
NUM_COMPONENTS = 200
BATCH_SIZE = 64
WEIGHT_DECAY = 0.05
CPU = torch.device("cpu")
# Probabilities as this baseline has always had them; typed as deprecated.
PLATT: Any = {"probability": True}


def folds_of(seed: int) -> StratifiedKFold:
    return StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=seed)


def svm_probabilities(pictures: Pictures, labels_N: np.ndarray, seed: int) -> np.ndarray:
    """Out-of-fold probabilities (N, K) of a support vector machine on pixels."""
    machine: Any = SVC(**PLATT, random_state=seed)
    if pictures.pixels_ND.shape[1] > 1000:
        machine = make_pipeline(PCA(NUM_COMPONENTS, random_state=seed), machine)
    folds = folds_of(seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The `probability` parameter")
        return np.asarray(
            cross_val_predict(
                machine, pictures.pixels_ND, labels_N, cv=folds, method="predict_proba"
            )
        )


def net_probabilities(
    pictures: Pictures, labels_N: np.ndarray, seed: int, seconds: float
) -> tuple[np.ndarray, float]:
    """Out-of-fold probabilities (N, K) of nets taught from scratch in `seconds` of the processor
    together, and those they took: as many epochs as one fold's share has room for, at least one."""
    probabilities_NK = np.zeros((len(labels_N), NUM_CLASSES))
    rows = np.arange(len(labels_N))
    started = time.process_time()
    teach(pictures, labels_N, rows[::NUM_FOLDS], seed, 1)
    # The trial epoch was on a fifth of the rows, where a fold learns from four.
    epoch_seconds = (time.process_time() - started) * (NUM_FOLDS - 1)
    epochs = max(1, round(seconds / NUM_FOLDS / epoch_seconds))
    say(f"a net from scratch, {epochs} epochs in each fold")
    started = time.process_time()
    for learnt, judged in folds_of(seed).split(rows, labels_N):
        net = teach(pictures, labels_N, learnt, seed, epochs)
        logits_MK = run_net(net, pictures.images_NHWC, judged, CPU, pictures.precision)
        probabilities_NK[judged] = softmax(logits_MK.astype(float))
    return probabilities_NK, time.process_time() - started


def teach(
    pictures: Pictures, labels_N: np.ndarray, rows: np.ndarray, seed: int, epochs: int
) -> Classifier:
    """A classifier of the same architecture, taught by given labels and augmented images."""
    params = pictures.pretraining
    encoder = new_encoder(pictures, seed)
    net = Classifier(encoder, NUM_CLASSES, dropout=0.0)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps_per_epoch = num_batches(len(rows), BATCH_SIZE)
    optimiser = params.optimiser.model_copy(update={"weight_decay": WEIGHT_DECAY})
    schedule = Cosine(name="cosine", warmup_epochs=epochs // 10)
    optimisation = make_optimisation(net, optimiser, schedule, epochs, steps_per_epoch)
    policy = build_policy(pictures.augmentation, pictures.images_NHWC.shape[1:])
    targets_N = torch.from_numpy(labels_N)
    net.train()
    for epoch in range(epochs):
        for batch in shuffled_batches(rows, BATCH_SIZE, seed, epoch):
            images = augment_batch(
                policy, pictures.images_NHWC[batch.rows], seed, epoch, batch.number
            )
            with at_precision(pictures.precision, CPU):
                logits_NK = net(torch.from_numpy(images))
            loss = torch.nn.functional.cross_entropy(logits_NK.float(), targets_N[batch.rows])
            loss.backward()
            optimisation.step()
    return net
