"""Lessons whose images lie on the device and are augmented there, for `benchmarks.gpu`.

N images, H height, W width, C channels, K classes, D width of the embedding
"""

import time
from abc import abstractmethod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.core.batches import Part
from tasks.core.device_augmentation import DevicePolicy
from tasks.core.embeddings import knn_accuracy
from tasks.core.inference import run_net
from tasks.lesson import Lesson, Outcome


class Data(NamedTuple):
    """uint8 (N, H, W, C) and labels, to learn from and to test with."""

    train_NHWC: np.ndarray
    train_labels_N: np.ndarray
    test_NHWC: np.ndarray
    test_labels_N: np.ndarray


def load_data(folder: Path, num_train: int, num_test: int) -> Data:
    """So many images of CIFAR-10, in an order drawn once."""
    arrays: list[np.ndarray] = []
    classes = sorted(path.name for path in (folder / "train").iterdir())
    for split, count in (("train", num_train), ("test", num_test)):
        paths = sorted((folder / split).glob("*/*"))
        chosen = np.random.default_rng(0).permutation(len(paths))[:count]
        images = [np.asarray(Image.open(paths[row]).convert("RGB")) for row in chosen]
        labels = [classes.index(paths[row].parent.name) for row in chosen]
        arrays += [np.stack(images), np.array(labels)]
    return Data(*arrays)


def make_noise(num_images: int) -> Data:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num_images, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, num_images)
    return Data(images, labels, images[:100], labels[:100])


def own_rows(part: Part) -> tuple[np.ndarray, ...]:
    return (part.own_rows,)


class OnDevice(Lesson):
    """Keeps the clock: `epochs` has the seconds that each epoch learnt for, without its tests."""

    def __init__(self, net: nn.Module, data: Data, policy: DevicePolicy, place, precision: str):
        super().__init__()
        self.net, self.data, self.policy = net, data, policy
        self.rows, self.source = np.arange(len(data.train_NHWC)), own_rows
        self.device, self.precision, self.seed = place, precision, 0
        self.held_NHWC = torch.from_numpy(data.train_NHWC).to(place)
        self.held_labels_N = torch.from_numpy(data.train_labels_N).to(place)
        self.seconds: list[float] = []
        self._resumed = 0.0

    def augmented(self, part: Part, rows_N: Tensor, draw: int) -> Tensor:
        given = (self.seed, part.epoch, draw, part.first, len(part.rows))
        return self.policy.augment(self.held_NHWC[rows_N], *given)

    def measure(self, net: nn.Module) -> dict[str, float]:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        if self._resumed:
            self.seconds.append(time.perf_counter() - self._resumed)
        measured = self.tested(net)
        self._resumed = time.perf_counter()
        return measured

    @abstractmethod
    def tested(self, net: nn.Module) -> dict[str, float]:
        """What the net is worth on test images."""

    def outputs(self, net: nn.Module, images_NHWC: np.ndarray) -> np.ndarray:
        rows = np.arange(len(images_NHWC))
        return run_net(net, images_NHWC, rows, self.device, self.precision)


class Labels(OnDevice):
    """Labels of images; tested with the image and its mirror image, as airbench does."""

    smoothing = 0.2

    def forward(self, part: Part, *tensors: Tensor) -> Outcome:
        (rows_N,) = tensors
        logits_NK = self.net(self.augmented(part, rows_N, part.number)).float()
        labels_N = self.held_labels_N[rows_N]
        loss = F.cross_entropy(logits_NK, labels_N, label_smoothing=self.smoothing)
        return Outcome(loss, (logits_NK.detach().argmax(dim=1) == labels_N).float().mean())

    def tested(self, net: nn.Module) -> dict[str, float]:
        images_NHWC = self.data.test_NHWC
        mirrored_NHWC = np.ascontiguousarray(images_NHWC[:, :, ::-1])
        logits_NK = self.outputs(net, images_NHWC) + self.outputs(net, mirrored_NHWC)
        right_N = logits_NK.argmax(axis=1) == self.data.test_labels_N
        return {"test_accuracy": float(right_N.mean())}


class Projected(nn.Module):
    def __init__(self, encoder: nn.Module, width: int):
        super().__init__()
        self.encoder = encoder
        hidden = nn.Linear(width, width, bias=False)
        self.projector = nn.Sequential(
            hidden, nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 128)
        )

    def forward(self, images_NHWC: Tensor) -> Tensor:
        return self.projector(self.encoder(images_NHWC))


class Views(OnDevice):
    """SimCLR (Chen et al., 2020); tested by the 200 nearest neighbours after the last epoch."""

    temperature = 0.5
    num_epochs = 0

    def forward(self, part: Part, *tensors: Tensor) -> Outcome:
        (rows_N,) = tensors
        views = [self.augmented(part, rows_N, 2 * part.number + view) for view in (0, 1)]
        z_MD = F.normalize(self.net(torch.cat(views)).float(), dim=1)
        similarity_MM = z_MD @ z_MD.T / self.temperature
        similarity_MM.fill_diagonal_(float("-inf"))
        other_M = torch.arange(len(z_MD), device=z_MD.device).roll(len(rows_N))
        return Outcome(F.cross_entropy(similarity_MM, other_M), float("nan"))

    def tested(self, net: nn.Module) -> dict[str, float]:
        if len(self.seconds) < self.num_epochs:
            return {}
        assert isinstance(net, Projected)
        train_ND, test_MD = (
            self.outputs(net.encoder, images)
            for images in (self.data.train_NHWC, self.data.test_NHWC)
        )
        labels = self.data.train_labels_N, self.data.test_labels_N
        return {"knn_accuracy": knn_accuracy(train_ND, labels[0], test_MD, labels[1])}


class AirbenchNet(nn.Module):
    """Three blocks after a whitening of patches (Jordan, 94% on CIFAR-10 in 3.29 seconds on a
    single GPU, 2024); uint8 (N, H, W, C) → logits (N, K)."""

    def __init__(self, images_NHWC: np.ndarray, num_classes: int, widths=(64, 256, 256)):
        super().__init__()
        num_channels = images_NHWC.shape[3]
        self.whiten = nn.Conv2d(num_channels, 2 * num_channels * 4, 2, bias=True)
        self.whiten.weight.data.copy_(whitening(images_NHWC))
        self.whiten.weight.requires_grad_(False)
        width = self.whiten.out_channels
        blocks = []
        for num_out in widths:
            blocks += [
                nn.Conv2d(width, num_out, 3, padding="same", bias=False),
                nn.MaxPool2d(2),
                _norm(num_out),
                nn.GELU(),
                nn.Conv2d(num_out, num_out, 3, padding="same", bias=False),
                _norm(num_out),
                nn.GELU(),
            ]
            width = num_out
        self.blocks = nn.Sequential(*blocks)
        for module in self.blocks:
            if isinstance(module, nn.Conv2d):
                nn.init.dirac_(module.weight[: module.in_channels])
        self.head = nn.Linear(width, num_classes, bias=False)

    def forward(self, images_NHWC: Tensor) -> Tensor:
        x_NCHW = images_NHWC.permute(0, 3, 1, 2).float() / 63.75 - 2
        x_NCHW = self.blocks(F.gelu(self.whiten(x_NCHW)))
        return self.head(x_NCHW.amax(dim=(2, 3))) / 9


def _norm(width: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm


def whitening(images_NHWC: np.ndarray) -> Tensor:
    """Filters of 2 × 2 patches with uncorrelated responses, and their negatives."""
    x_NCHW = torch.from_numpy(images_NHWC[:5000]).permute(0, 3, 1, 2).float() / 63.75 - 2
    patches = x_NCHW.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5)
    flat = patches.reshape(-1, images_NHWC.shape[3] * 4)
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    filters = (vectors / (values + 5e-4).sqrt()).T.flip(0).reshape(-1, images_NHWC.shape[3], 2, 2)
    return torch.cat([filters, -filters])
