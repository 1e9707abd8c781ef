"""120 images of three classes, which differ in brightness, and a classifier to teach them to."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.artifacts.images import Images, save_pixels
from tasks.core.encoder import Classifier
from tasks.core.inference import Place
from tasks.core.mixing import Mixing
from tasks.core.policy import build_policy
from tasks.finetune import Params
from tasks.labelled import Labelled
from tests.nets import small_classifier

PLACE, SEED = Place(torch.device("cpu"), "float32"), 0
OFF: dict[str, Any] = {"l1_penalty": 0.0, "clip_norm": 0.0, "ema_decay": 0.0}
SGD = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True,
       "weight_decay": 0.001, **OFF}  # fmt: skip
ADAMW = {"name": "adamw", "learning_rate": 0.01, "betas": [0.9, 0.999], "epsilon": 1e-8,
         "weight_decay": 0.0, **OFF}  # fmt: skip
UNWEIGHTED = {"label_smoothing": 0.0, "class_weights": {"name": "none"}}
SECTION: dict[str, Any] = {
    "initialisation": "pretrained",
    "probe": {"name": "none"},
    "strategy": {"name": "full", "encoder_rate_fraction": 1.0},
    "loss": {"name": "balanced_softmax", "label_smoothing": 0.1},
    "unlabelled": {"name": "none"},
    "optimiser": ADAMW,
    "schedule": {"name": "constant"},
    "epochs": 4,
    "patience": 4,
    "batch_size": 16,
    "dropout": 0.0,
    "least_batch_norm_rows": 0,
    "refit": {"name": "none"},
    "abstention": {"max_error": 0.2},
    "num_accumulated": 1,
    "num_processes": 1,
    "compiled": False,
    "augmentation": "host",
}

NOBODY = np.empty(0, dtype=np.int64)


def params(**changed: Any) -> Params:
    return Params.model_validate({**SECTION, **changed})


def make_pixels(folder: Path) -> Images:
    noise = np.random.default_rng(0).integers(0, 60, (120, 8, 8, 1), dtype=np.uint8)
    steps = 90 * (np.arange(120) % 3).astype(np.uint8)
    save_pixels(noise + steps[:, None, None, None], folder / "0.npy")
    return Images(folder)


def labelled(pixels: Images, mixup_alpha: float = 0.0, cutmix_alpha: float = 0.0) -> Labelled:
    return Labelled(
        pixels,
        rows=np.arange(90),
        val=np.arange(90, 120),
        codes=np.arange(120) % 3,
        weights=np.ones(120, dtype=np.float32),
        classes=["a", "b", "c"],
        counts=np.array([30, 30, 30]),
        policy=build_policy([], pixels.image_shape),
        mixing=Mixing(mixup_alpha=mixup_alpha, cutmix_alpha=cutmix_alpha),
    )


def begin() -> Classifier:
    torch.manual_seed(0)
    return small_classifier()
