"""What the training loop is measured with: plain nets, a lesson in classes, AdamW or SGD.

N images, H height, W width, C channels, K classes
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import albumentations as A
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.core.batches import Part
from tasks.core.inference import ImageRows, run_net
from tasks.core.policy import augment_batch
from tasks.lesson import Lesson, Outcome


class ResidualBlock(nn.Module):
    def __init__(self, num_in: int, num_out: int, stride: int, norm: Callable[[int], nn.Module]):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False),
            norm(num_out),
            nn.ReLU(),
            nn.Conv2d(num_out, num_out, 3, padding=1, bias=False),
            norm(num_out),
        )
        self.shortcut = (
            nn.Identity()
            if num_in == num_out and stride == 1
            else nn.Sequential(nn.Conv2d(num_in, num_out, 1, stride, bias=False), norm(num_out))
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return F.relu(self.convolutions(x_NCHW) + self.shortcut(x_NCHW))


class ResidualNet(nn.Module):
    """A stage of `depth` blocks for each width (He et al., Deep residual learning, 2016); uint8
    (N, H, W, C) → logits (N, K). ResNet-20 is (16, 32, 64) and 3, ResNet-18 (64, 128, 256, 512)
    and 2, with the stem for small images."""

    def __init__(
        self,
        widths: tuple[int, ...],
        depth: int,
        num_channels: int,
        num_classes: int,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        dropout: float = 0.0,
    ):
        super().__init__()
        width = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(num_channels, width, 3, padding=1, bias=False), norm(width), nn.ReLU()
        )
        blocks = []
        for stage, num_out in enumerate(widths):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(ResidualBlock(width, num_out, stride, norm))
                width = num_out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, num_classes))

    def forward(self, images_NHWC: Tensor) -> Tensor:
        x_NCHW = images_NHWC.permute(0, 3, 1, 2).float() / 127.5 - 1
        return self.head(self.blocks(self.stem(x_NCHW)).mean(dim=(2, 3)))


class AugmentedImages(NamedTuple):
    """Images augmented on the host, and their labels."""

    images: ImageRows
    labels: np.ndarray
    policy: A.Compose
    seed: int

    def __call__(self, part: Part) -> tuple[np.ndarray, ...]:
        images_NHWC = augment_batch(
            self.policy,
            self.images[part.own_rows],
            self.seed,
            part.epoch,
            part.number,
            part.places,
        )
        return images_NHWC, self.labels[part.own_rows]


class Classes(Lesson):
    """Labels of images, by a weighted cross-entropy; measured on `val`, if there is one."""

    def __init__(
        self,
        net: nn.Module,
        source: AugmentedImages,
        rows: np.ndarray,
        weights: np.ndarray,
        val: np.ndarray | None,
        smoothing: float = 0.0,
    ):
        super().__init__()
        self.net, self.source, self.rows, self.weights = net, source, rows, weights
        self.val, self.smoothing = val, smoothing

    def forward(self, part: Part, *tensors: Tensor) -> Outcome:
        images_NHWC, labels_N = tensors
        logits_NK = self.net(images_NHWC).float()
        weights_N = torch.from_numpy(self.weights[part.own_rows]).to(logits_NK.device)
        loss_N = F.cross_entropy(
            logits_NK, labels_N, reduction="none", label_smoothing=self.smoothing
        )
        right_N = logits_NK.detach().argmax(dim=1) == labels_N
        return Outcome((weights_N * loss_N).sum() / weights_N.sum(), right_N.float().mean())

    def weigh(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        return self.weights[rows]

    def measure(self, net: nn.Module) -> dict[str, float]:
        if self.val is None:
            return {}
        device = next(net.parameters()).device
        logits_NK = run_net(net, self.source.images, self.val, device, "float32")
        labels_N = self.source.labels[self.val]
        loss = F.cross_entropy(torch.from_numpy(logits_NK), torch.from_numpy(labels_N))
        accuracy = float((logits_NK.argmax(axis=1) == labels_N).mean())
        return {"val_loss": loss.item(), "val_accuracy": accuracy}


class PlainSteps:
    """An optimiser whose rate rises for a tenth of the steps and falls along a cosine."""

    def __init__(self, optimiser: torch.optim.Optimizer, net: nn.Module, num_steps: int):
        self.optimiser, self.judged_net = optimiser, net
        warmup = max(1, num_steps // 10)

        def factor(step: int) -> float:
            falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, num_steps))))
            return min(1.0, (step + 1) / warmup) * falling

        self._schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)

    @property
    def learning_rate(self) -> float:
        return float(self._schedule.get_last_lr()[0])

    def step(self) -> None:
        self.optimiser.step()
        self._schedule.step()
        self.optimiser.zero_grad(set_to_none=True)

    def end_epoch(self, val_loss: float | None) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        schedule = self._schedule.state_dict()
        return {"optimiser": self.optimiser.state_dict(), "schedule": schedule}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
