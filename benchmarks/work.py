"""The work that training speeds are measured with: images of noise, nets, and a recipe.

N images, H height, W width, C channels
"""

from typing import Any, NamedTuple

import albumentations as A
import numpy as np
import torch
from pydantic import TypeAdapter

from benchmarks.classifiers import NO_PROBE, RESNET_20, loss
from benchmarks.encoders import new_encoder
from benchmarks.lessons import ResidualNet
from tasks.core.architecture import Convolutional
from tasks.core.encoder import Classifier
from tasks.core.policy import Transforms, build_policy

SHAPE, NUM_CLASSES, BATCH_SIZE, SEED = (32, 32, 3), 10, 128, 0
# Widths of the stages, and blocks in each. The wider is of the shape that encoders have by default.
NETS = {"ResNet-20": ((16, 32, 64), 3), "0.7 M parameters": ((48, 96, 192), 1)}
TRANSFORMS = TypeAdapter(Transforms).validate_python("light", strict=True)
# Of the stage; the bare loop has such an optimiser too.
RECIPE: dict[str, Any] = {
    "initialisation": "scratch",
    "probe": NO_PROBE,
    "dropout": 0.0,
    "batch_size": BATCH_SIZE,
    **loss("cross_entropy", class_weights={"name": "none"}),
    "schedule": {"name": "cosine", "warmup_epochs": 1},
    "optimiser": {
        "name": "adamw",
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "betas": [0.9, 0.999],
        "epsilon": 1e-8,
        "l1_penalty": 0.0,
        "clip_norm": 0.0,
        "ema_decay": 0.0,
    },
}


class Work(NamedTuple):
    """What each loop does: `num_images` are seen once, augmented, by one of `NETS`."""

    images_NHWC: np.ndarray
    labels_N: np.ndarray
    policy: A.Compose
    precision: str
    is_channels_last: bool
    net: str


def make_work(
    num_images: int, precision: str, is_channels_last: bool, net: str = "ResNet-20"
) -> Work:
    rng = np.random.default_rng(SEED)
    images_NHWC = rng.integers(0, 256, (num_images, *SHAPE), dtype=np.uint8)
    labels_N = rng.integers(0, NUM_CLASSES, num_images)
    policy = build_policy(TRANSFORMS, SHAPE)
    return Work(images_NHWC, labels_N, policy, precision, is_channels_last, net)


def make_net(work: Work) -> ResidualNet:
    torch.manual_seed(SEED)
    net = ResidualNet(*NETS[work.net], SHAPE[2], NUM_CLASSES)
    if work.is_channels_last:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def make_optimiser(net: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), 1e-3, fused=True)


def make_classifier(work: Work) -> Classifier:
    """The ResNet-20 that the stage would make, channels last."""
    encoder = new_encoder(work.images_NHWC[:100], Convolutional.model_validate(RESNET_20), SEED)
    classifier = Classifier(encoder, NUM_CLASSES, 0.0)
    return classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
